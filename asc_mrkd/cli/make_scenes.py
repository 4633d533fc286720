"""asc-mrkd make-scenes: the built-in scenes."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Workers
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say


def make_scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the data set into.")],
    clips_per_class: Annotated[int, typer.Option(help="Recordings of 10 s for each of the ten scenes.", min=2)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of all clips.", min=0)] = 0,
    layout: Annotated[
        str,
        typer.Option(
            help="tut2018, tau2020-3class (three labels), tau2022-mobile (clips of 1 s) or folders (one per class)."
        ),
    ] = "tut2018",
    workers: Workers = None,
) -> None:
    """Make the built-in recordings: ten synthetic city scenes, in the layout of an official data set.

    Example: asc-mrkd make-scenes exp/scenes --clips-per-class 12 --seed 0
    """
    from asc_mrkd.datasets import synthetic

    folder = synthetic.make_scenes(out, clips_per_class, seed, layout=layout, workers=workers, progress=show_progress)
    say(folder)
