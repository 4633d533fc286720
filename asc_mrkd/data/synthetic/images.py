"""The built-in images as a tree of PNG files with the layout of CINIC-10."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from asc_mrkd import __version__
from asc_mrkd.data.synthetic.folder import check_range, claim, make_missing
from asc_mrkd.data.synthetic.picture import CLASSES, render_image
from asc_mrkd.errors import DataError
from asc_mrkd.files import atomic_writer

FOR_TRAINING = 0.8
"""Share of the images of a class that train."""

IMAGE_BYTES = 3000
"""About the size of an image."""

README = """# Built-in images

These images are **synthetic**: `asc-mrkd make-images` drew them. Size and layout are those of CINIC-10, without a valid
folder, so that every step can be tried without a download. An accuracy measured here says nothing about photographs.

Made with asc_mrkd {version}, seed {seed}, {classes} classes, {per_class} images per class.
"""


def make_images(
    out: str | os.PathLike[str],
    classes: int = 10,
    per_class: int = 100,
    seed: int = 0,
    workers: int | None = None,
    on_image: Callable[[], None] | None = None,
) -> Path:
    """Write the built-in images into `out` as `train|test/<class>/<class>-<index>.png` and return the folder.

    A class is a shape with a surface: `disc_plain`, `ring_stripes` ... Place, size, rotation, colours, clutter, cover
    and noise are drawn for each image, so that a pixel by itself says nothing. An image depends on `seed`, its class
    and its index only. The same call again makes what is missing; a finished set is left as it is.

    Args:
        out: folder that becomes the data set.
        classes: 2 to 100.
        per_class: images of 32 x 32 pixels for each class, at least 2; the first 80 % train, the others test.
        seed: another seed, other images of the same classes.
        workers: processes; None takes one for each CPU.
        on_image: called once for each image that is there.

    Raises:
        ConfigError: a number is out of its range.
        DataError: the folder holds something else, or cannot be written.
    """
    check_range("classes", classes, 2, len(CLASSES))
    check_range("per-class", per_class, 2)
    check_range("seed", seed, 0)
    check_range("workers", workers, 1)
    folder = Path(out)
    paths = [folder / name for name in plan_images(classes, per_class)]
    try:
        claim(folder, README.format(version=__version__, seed=seed, classes=classes, per_class=per_class))
        make_missing(paths, partial(_write_image, seed=seed), workers, on_image or (lambda: None))
    except OSError as error:
        size = f"{len(paths) * IMAGE_BYTES / 1e6:.0f} MB"
        raise DataError(
            f"{folder}: {error.strerror}", f"choose a folder that can hold {size}; the same command goes on from here"
        ) from None
    return folder


def plan_images(classes: int, per_class: int) -> list[str]:
    """List the files of the set.

    >>> plan_images(2, 2)[:2]
    ['train/disc_plain/disc_plain-00000.png', 'test/disc_plain/disc_plain-00001.png']
    """
    training = min(round(FOR_TRAINING * per_class), per_class - 1)
    return [
        f"{'train' if index < training else 'test'}/{name}/{name}-{index:05d}.png"
        for name in CLASSES[:classes]
        for index in range(per_class)
    ]


def _write_image(path: Path, seed: int) -> None:
    name, _, index = path.stem.rpartition("-")
    with atomic_writer(path) as stream:
        Image.fromarray(render_image(seed, name, int(index))).save(stream, "PNG")
