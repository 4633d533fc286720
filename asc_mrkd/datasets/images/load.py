"""Opening an image set: out of its cache, or by reading it and leaving one behind."""

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from asc_mrkd.datasets.images.cache import FOLDER, read_cache, write_cache
from asc_mrkd.datasets.images.cifar import FORMATS, is_cifar, open_cifar
from asc_mrkd.datasets.images.image_folder import open_tree, tree_layout
from asc_mrkd.datasets.images.image_set import ImageSet, Source
from asc_mrkd.errors import DataError

_HINT = "asc-mrkd download cifar100, or name a folder with train/CLASS/*.png and test/CLASS/*.png"

Opener = Callable[[], Source]


def is_image_set(folder: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is an image set or holds one, by the names in it; no file is opened."""
    return bool(_find(Path(folder)))


def find_source(folder: Path) -> Source:
    """Find the image set that a folder is, or the only one that it holds, and list its files.

    Raises:
        DataError: there is none, there are several, or a file of it is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", _HINT)
    found = _find(folder)
    if not found:
        raise DataError(f"{folder} holds no image set: neither CIFAR nor CINIC-10 nor train/CLASS/*.png", _HINT)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} holds several image sets: {names}", f"name one of them, as {next(iter(found))}")
    return next(iter(found.values()))()


def _find(folder: Path) -> dict[Path, Opener]:
    """Return what opens a folder or, if it is no image set itself, the folders in it."""
    try:
        if opener := _recognise(folder):
            return {folder: opener}
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        return {path: opener for path in inner if (opener := _recognise(path))}
    except OSError:  # what may not be listed is not an image set
        return {}


def _recognise(folder: Path) -> Opener | None:
    for cifar in FORMATS:
        if is_cifar(folder, cifar):
            return partial(open_cifar, folder, cifar)
    if layout := tree_layout(folder):
        return partial(open_tree, folder, layout)
    return None


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
