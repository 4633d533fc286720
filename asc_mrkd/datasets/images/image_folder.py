"""Trees of image files, split/class/file: CINIC-10 as its archive unpacks, or the folder of a user."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from asc_mrkd.datasets.images.image_set import SPLITS, ImageSplit, file_state, make_table
from asc_mrkd.errors import DataError, first_line
from asc_mrkd.folders import find_files, visible_folders, visible_paths
from asc_mrkd.machine import available_cores
from asc_mrkd.workers import local_pool, map_in_order

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Endings of the names of image files, in lower case."""

CINIC = "CINIC-10"
FOLDER = "image folder"

CINIC_NAME = re.compile(r"cifar10-(train|test)-\d+\.png|n\d{8}_\d+\.png")
"""File names in CINIC-10: from CIFAR-10, or synset and number of an ImageNet image that was made smaller."""

_REQUIRED_SPLITS = {CINIC: SPLITS, FOLDER: ("train", "test")}

_HINTS = {
    CINIC: "asc-mrkd download cinic10",
    FOLDER: "images belong into train/CLASS/*.png and test/CLASS/*.png, all of one size; valid/ is optional",
}

_FILES_PER_CHUNK = 256
"""Files that a worker gets at a time."""

_SHOWN = 10
"""Faulty images that an error names."""


@dataclass(frozen=True)
class ImageFolderSource:
    """A tree of images, listed but not read."""

    root: Path
    """Folder of the splits."""
    layout: str
    """`CINIC-10` or `image folder`."""
    file_states: dict[str, str]
    """State of every image by its path below the folder, in order within a split."""

    def classes(self) -> list[str]:
        """Return the names of the class folders that hold an image, in alphabetical order."""
        return sorted({_label(name) for name in self.file_states})

    def splits(self) -> Iterator[tuple[str, ImageSplit]]:
        """Read one split after the other.

        Raises:
            DataError: images cannot be read or differ in size; ten of them are named.
        """
        first = next(iter(self.file_states))
        size = _image_size(self.root / first, self.layout)
        for split in SPLITS:
            names = [name for name in self.file_states if name.startswith(f"{split}/")]
            if not names:
                continue
            pixels, faults = _decode_images(self.root, names, size)
            if faults:
                shown = "; ".join(faults[:_SHOWN])
                if len(faults) > _SHOWN:
                    shown += f"; and {len(faults) - _SHOWN} more"
                raise DataError(f"{self.root}, {size[0]}x{size[1]} as {first}: {shown}", _HINTS[self.layout])
            labels = [_label(name) for name in names]
            origins = [self._origin(name) for name in names]
            yield split, ImageSplit(pixels, make_table(names, labels, [""] * len(names), origins))

    def _origin(self, name: str) -> str:
        """Return the data set that an image of CINIC-10 comes from."""
        if self.layout != CINIC:
            return ""
        return "cifar10" if name.rpartition("/")[2].startswith("cifar10-") else "imagenet"


def find_folder_layout(folder: Path) -> str | None:
    """Return the layout of a tree of images by the name of one of them; None if it has no image."""
    for split in SPLITS:
        _, file = next(_list_images(folder, split), (None, None))
        if file is not None:
            return CINIC if CINIC_NAME.fullmatch(file.name) else FOLDER
    return None


def list_image_folder(root: Path, layout: str) -> ImageFolderSource:
    """List a tree of images.

    Raises:
        DataError: a split is missing or empty, or a folder cannot be listed.
    """
    states: dict[str, str] = {}
    for split in SPLITS:
        try:
            found = sorted((name, file_state(file.stat())) for name, file in _list_images(root, split))
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}", _HINTS[layout]) from None
        if split in _REQUIRED_SPLITS[layout] and not found:
            raise DataError(f"{root} is a {layout}, but there is no image {split}/CLASS/*.png", _HINTS[layout])
        states |= found
    try:
        "".join(states).encode()
    except UnicodeEncodeError as error:
        place = error.object[error.start - 40 : error.start]
        raise DataError(f"{root}: a file name is not UTF-8, near {place!r}", "rename it") from None
    return ImageFolderSource(root, layout, states)


def list_other_files(root: Path) -> list[str]:
    """List the files in the class folders that are not images by their names, without hidden ones, sorted."""
    folders = [folder for split in SPLITS for folder in visible_folders(root / split)]
    files = [path for folder in folders for path in visible_paths(folder)]
    others = [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES and path.is_file()]
    return sorted(path.relative_to(root).as_posix() for path in others)


def list_deeper_images(root: Path) -> list[str]:
    """List the images in folders below those of the classes, which are left out, without hidden ones."""
    classes = [folder for split in SPLITS for folder in visible_folders(root / split)]
    inner = [folder for class_folder in classes for folder in visible_folders(class_folder)]
    return [path.relative_to(root).as_posix() for folder in inner for path in find_files(folder, IMAGE_SUFFIXES)]


def _list_images(root: Path, split: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the path below root and the entry of every image of a split, without hidden files."""
    if not os.path.isdir(root / split):
        return
    with os.scandir(root / split) as folders:
        for folder in folders:
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            with os.scandir(folder) as files:
                for file in files:
                    if file.name.lower().endswith(IMAGE_SUFFIXES) and not file.name.startswith("."):
                        yield f"{split}/{folder.name}/{file.name}", file


def _label(name: str) -> str:
    """Return the class of an image by its path below the root."""
    return name.split("/")[1]


def _image_size(path: Path, layout: str) -> tuple[int, int]:
    """Return width and height of an image."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return image.size
    except Exception as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})", _HINTS[layout]) from None


def _decode_images(root: Path, names: list[str], size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Decode files of `size` (width, height); return pixels (image, 3, height, width) and the faults of some."""
    pixels = np.empty((len(names), 3, size[1], size[0]), dtype=np.uint8)
    faults = []
    for number, decoded in enumerate(_decode_all(root, names, size)):
        if isinstance(decoded, str):
            faults.append(f"{names[number]} {decoded}")
        else:
            pixels[number] = decoded
    return pixels, faults


def _decode_all(root: Path, names: list[str], size: tuple[int, int]) -> Iterator[np.ndarray | str]:
    """Decode in processes: small images keep the interpreter busier than the decoder, so threads would only wait."""
    chunks = [names[start : start + _FILES_PER_CHUNK] for start in range(0, len(names), _FILES_PER_CHUNK)]
    decode_chunk = partial(_decode_chunk, root, size)
    workers = min(available_cores(), len(chunks))
    if workers == 1:
        return chain.from_iterable(map(decode_chunk, chunks))
    return map_in_order(local_pool(workers), decode_chunk, chunks, on_crash=lambda name: "kills the decoder")


def _decode_chunk(root: Path, size: tuple[int, int], names: Sequence[str]) -> list[np.ndarray | str]:
    return [_decode_image(root / name, size) for name in names]


def _decode_image(path: Path, size: tuple[int, int]) -> np.ndarray | str:
    """Decode an image file to (3, height, width), or return the fault that makes it unusable."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.size != size:
                return f"is {image.size[0]}x{image.size[1]}"
            if image.mode.startswith(("I", "F")):  # Pillow would clip instead of scale
                return "has more than 8 bits per channel"
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except Exception as error:  # damage can raise anything, Pillow names no complete list
        return f"cannot be read ({first_line(error)})"
