"""asc-mrkd demo: the page of a network, served on this computer."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say


def demo(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Run folder, seed folder or model file.",
            show_default="a network trained on built-in scenes",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the page and for what is trained.")] = Path("exp/demo"),
    runtime: Annotated[
        Path | None,
        typer.Option(help="Folder of onnxruntime-web from npm.", show_default="the one in node_modules"),
    ] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Classify sounds in a browser: make a page and serve it on this computer until Ctrl-C.

    Without RUN, it first trains a small network on the built-in scenes, and the page offers a clip of every class.

    Example: asc-mrkd demo exp/dcase18/builtin/reduced/mrkd
    """
    from asc_mrkd.exports import demonstration

    if run is None and not demonstration.is_trained(out):
        say("a small network is trained on the built-in scenes first: a minute or two on 2 cores", err=True)
    with demonstration.demo(run, out, runtime, port, show_progress) as address:
        say(f"{address} shows the page; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            wait_forever()
    say("the page is no longer served", err=True)


def wait_forever() -> None:
    """Wait until Ctrl-C."""
    while True:
        time.sleep(3600)
