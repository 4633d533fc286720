"""asc-mrkd make-images: the built-in image set."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Workers
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say


def make_images(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the data set into.")],
    classes: Annotated[int, typer.Option(help="Classes: pairs of a shape and a surface.", min=2, max=100)] = 10,
    per_class: Annotated[int, typer.Option(help="Images per class; 80 % of them are for training.", min=2)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of all images.", min=0)] = 0,
    workers: Workers = None,
) -> None:
    """Make the built-in images: synthetic, 32 x 32 pixels, as PNG files in the layout of CINIC-10.

    Example: asc-mrkd make-images exp/images --classes 10 --per-class 200
    """
    from asc_mrkd.datasets import synthetic

    say(synthetic.make_images(out, classes, per_class, seed, workers=workers, progress=show_progress))
