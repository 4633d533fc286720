"""asc-mrkd make-images: the built-in image set."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Workers
from asc_mrkd.cli.progress import progress


def make_images(
    out: Annotated[Path, typer.Argument(help="Folder to write the data set into.")],
    classes: Annotated[int, typer.Option(help="Pairs of a shape and a surface to tell apart.", min=2, max=100)] = 10,
    per_class: Annotated[int, typer.Option(help="Images of each class; 80 % of them train.", min=2)] = 100,
    seed: Annotated[int, typer.Option(help="The images are a function of it.", min=0)] = 0,
    workers: Workers = None,
) -> None:
    """Make procedural 32 x 32 images in the layout of CINIC-10: train and test folders of PNG files.

    Example: asc-mrkd make-images exp/images --classes 10 --per-class 200
    """
    from asc_mrkd.datasets.synthetic.pictures import make_images as write_images

    with progress("images", classes * per_class, "images") as advance:
        folder = write_images(out, classes, per_class, seed, workers, advance)
    typer.echo(folder)
