"""Opening an image set: out of its cache, or by reading it and leaving one behind."""

import os
import warnings
from pathlib import Path

from asc_mrkd.data.images.cache import FOLDER, read_cache, write_cache
from asc_mrkd.data.images.image_set import ImageSet
from asc_mrkd.data.images.layouts import find_source
from asc_mrkd.data.images.source import Source


def open_images(folder: str | os.PathLike[str]) -> ImageSet:
    """Open CIFAR-10, CIFAR-100, CINIC-10 or any tree of images train|test[|valid]/CLASS/*.png of one size.

    The first call decodes the images and writes them into a folder asc-mrkd-cache within the set, later calls map them
    into memory. A set whose files changed is read anew.

    Args:
        folder: the set as its archive unpacks, or a folder that holds exactly one.

    Raises:
        DataError: the folder is none of these, or a file is missing or damaged; it is named.
    """
    source = find_source(Path(folder))
    if images := read_cache(source):
        return images
    try:
        write_cache(source)
    except OSError as error:
        warnings.warn(
            f"{source.root / FOLDER} cannot be written ({error.strerror or error}), so every run reads the images; "
            "make the folder writable, or copy the images to one that is",
            stacklevel=2,
        )
        return _read(source)
    return read_cache(source) or _read(source)


def _read(source: Source) -> ImageSet:
    """Read a source into memory."""
    splits = dict(source.splits())
    for split in splits.values():
        split.pixels.flags.writeable = False
    return ImageSet(source.root, source.layout, source.classes(), splits)
