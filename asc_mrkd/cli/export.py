"""asc-mrkd export: a trained network as a file for other programs and for boards."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, Overrides, print_json, say_choice
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder (its lowest seed is taken), seed folder or model file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write, such as exp/board; an earlier export is replaced.")],
    overrides: Overrides = None,
    to: Annotated[
        str, typer.Option(help="Format: onnx, tflite, c (C99 without dependencies) or web (a page).")
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(help="float32, float16 (onnx) or int8, calibrated on training samples.")
    ] = "float32",
    with_frontend: Annotated[
        bool,
        typer.Option("--with-frontend", help="Put the front end into model.onnx: samples in, probabilities out."),
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(help="Folder of onnxruntime-web from npm, for web.", show_default="the one in node_modules"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trained network for other programs and for boards, and compare it with the original.

    The folder also holds the classes and the front end as data, a model card, a report (flash, RAM, multiply-adds,
    agreement on the test clips), and clips with their logits, to repeat the comparison on another machine.

    With --to web, the folder is a page that classifies files and the microphone in a browser. It works offline and on
    any static server.

    Example: asc-mrkd export exp/dcase20/builtin/reduced/mrkd --to onnx --out exp/board
    """
    from dataclasses import asdict

    from asc_mrkd.exports import export as export_network
    from asc_mrkd.files import format_bytes

    say_choice(run)
    result = export_network(run, out, to, precision, with_frontend, show_progress, overrides or (), runtime)
    if as_json:
        print_json(asdict(result))
        return
    ram = "unknown" if result.ram is None else format_bytes(result.ram, kilo=1024)
    agreement = "not compared: there is no C compiler"
    if result.largest_difference is not None:
        agreement = (
            f"compared with the network on {result.compared} {result.inputs}: logits differ by up to "
            f"{result.largest_difference:.2g}, {result.same_decisions} of {result.compared} decisions are the same"
        )
    arena = "" if result.arena is None else f"arena {format_bytes(result.arena, kilo=1024)}, "
    say(
        f"{result.path}: {result.to}, {result.precision}, flash {format_bytes(result.flash, kilo=1024)}, RAM {ram}, "
        f"{arena}{result.multiply_adds / 1e6:,.1f} MMAC; {agreement}"
    )
