"""Open an image set: from its cache, or by reading its files and writing the cache."""

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from asc_mrkd.datasets.images.cache import FOLDER, cache_lock, read_cache, write_cache
from asc_mrkd.datasets.images.cifar import FORMATS, is_cifar, list_cifar
from asc_mrkd.datasets.images.image_folder import find_folder_layout, list_image_folder
from asc_mrkd.datasets.images.image_set import ImageSet, Source, digest_of_set, digest_of_split
from asc_mrkd.errors import DataError, DiskFullError

_HINT = "asc-mrkd download cifar100, or name a folder with train/CLASS/*.png and test/CLASS/*.png"

ListFiles = Callable[[], Source]


def is_image_set(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is an image set or holds one, by the names in it; no file is opened."""
    return bool(_find_image_sets(Path(folder)))


def find_source(folder: Path) -> Source:
    """Find the image set that a folder is, or the only one directly in it, and list its files.

    Raises:
        DataError: the folder holds none or several, or a file is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", _HINT)
    found = _find_image_sets(folder)
    if not found:
        raise DataError(f"{folder} holds no image set: neither CIFAR nor CINIC-10 nor train/CLASS/*.png", _HINT)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} holds several image sets: {names}", f"name one of them, such as {next(iter(found))}")
    return next(iter(found.values()))()


def _find_image_sets(folder: Path) -> dict[Path, ListFiles]:
    """Map each image set found, the folder itself or those directly in it, to the function that lists its files."""
    try:
        list_files = _recognise(folder)
        if list_files:
            return {folder: list_files}
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        return {path: list_files for path in inner if (list_files := _recognise(path))}
    except OSError:  # a folder that may not be listed is not an image set
        return {}


def _recognise(folder: Path) -> ListFiles | None:
    """Return the function that lists the files of a folder in its layout; None if it is not an image set."""
    for cifar in FORMATS:
        if is_cifar(folder, cifar):
            return partial(list_cifar, folder, cifar)
    layout = find_folder_layout(folder)
    if layout:
        return partial(list_image_folder, folder, layout)
    return None


def open_images(folder: str | os.PathLike[str]) -> ImageSet:
    """Open CIFAR-10, CIFAR-100, CINIC-10 or any tree of images train|test[|valid]/CLASS/*.png of one size.

    The first call decodes the images and writes them into the folder `asc-mrkd-cache` in the set; later calls map them
    into memory. A set whose files changed is read again.

    Args:
        folder: the set as its archive unpacks, or a folder that holds exactly one.

    Raises:
        DataError: the folder is not an image set, or a file, which is named, is missing or damaged.

    Example:
        train = open_images("data/cifar-100-python").splits["train"]
        train.pixels.shape, train.table["label"]
    """
    source = find_source(Path(folder))
    images = read_cache(source)
    if images:
        return images
    try:
        with cache_lock(source):
            # Another process may have written it in the meantime.
            images = read_cache(source)
            if images is None:
                write_cache(source)
    except (OSError, DiskFullError) as error:
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"{source.root / FOLDER} cannot be written ({reason}), so every run reads the images; "
            "make the folder writable, or copy the images to one that is",
            stacklevel=2,
        )
        return _read_into_memory(source)
    return images or read_cache(source) or _read_into_memory(source)


def _read_into_memory(source: Source) -> ImageSet:
    splits = dict(source.splits())
    for split in splits.values():
        split.pixels.flags.writeable = False
    classes = source.classes()
    digest = digest_of_set(classes, {name: digest_of_split(split) for name, split in splits.items()})
    return ImageSet(source.root, source.layout, classes, splits, digest)
