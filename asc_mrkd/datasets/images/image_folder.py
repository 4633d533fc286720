"""Trees of image files, split/class/file: CINIC-10 as its archive unpacks, or a folder of one's own."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from asc_mrkd.datasets.images.image_set import SPLITS, ImageSplit, make_table, stamp
from asc_mrkd.errors import DataError, first_line
from asc_mrkd.workers import available_cores, local_pool, map_in_order

SUFFIXES = (".png", ".jpg", ".jpeg")

CINIC, FOLDER = "CINIC-10", "image folder"

CINIC_NAME = re.compile(r"cifar10-(train|test)-\d+\.png|n\d{8}_\d+\.png")
"""File names in CINIC-10: from CIFAR-10, or synset and number of an ImageNet image that was made smaller."""

_NEEDED = {CINIC: SPLITS, FOLDER: ("train", "test")}

_HINTS = {
    CINIC: "asc-mrkd download cinic10",
    FOLDER: "images belong into train/CLASS/*.png and test/CLASS/*.png, all of one size; valid/ is optional",
}

_FILES_PER_TASK = 256

_SHOWN = 10


@dataclass(frozen=True)
class TreeSource:
    """A tree of images, listed but not read.

    Attributes:
        root: the folder of the splits.
        layout: "CINIC-10" or "image folder".
        stamps: size and time of change of every image by its path below root, in order within a split.
    """

    root: Path
    layout: str
    stamps: dict[str, str]

    def classes(self) -> list[str]:
        """Return the names of the class folders that hold an image, alphabetically."""
        return sorted({_label(name) for name in self.stamps})

    def splits(self) -> Iterator[tuple[str, ImageSplit]]:
        """Read one split after the other.

        Raises:
            DataError: images cannot be read or differ in size; ten of them are named.
        """
        first = next(iter(self.stamps))
        size = _size(self.root / first, self.layout)
        for split in SPLITS:
            names = [name for name in self.stamps if name.startswith(f"{split}/")]
            if names:
                pixels, faults = _read(self.root, names, size)
                if faults:
                    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
                    expected = f"{size[0]}x{size[1]} as {first}"
                    raise DataError(f"{self.root}, {expected}: {'; '.join(faults[:_SHOWN])}{more}", _HINTS[self.layout])
                labels, origins = [_label(name) for name in names], [self._origin(name) for name in names]
                yield split, ImageSplit(pixels, make_table(names, labels, [""] * len(names), origins))

    def _origin(self, name: str) -> str:
        if self.layout != CINIC:
            return ""
        return "cifar10" if name.rpartition("/")[2].startswith("cifar10-") else "imagenet"


def tree_layout(folder: Path) -> str | None:
    """Return the layout of a tree of images by the name of one of them; None where there is none."""
    for split in SPLITS:
        if name := next((file.name for _, file in _image_files(folder, split)), None):
            return CINIC if CINIC_NAME.fullmatch(name) else FOLDER
    return None


def open_tree(root: Path, layout: str) -> TreeSource:
    """List a tree of images.

    Raises:
        DataError: a split is missing or empty, or a folder cannot be listed.
    """
    stamps: dict[str, str] = {}
    for split in SPLITS:
        try:
            found = sorted((name, stamp(file.stat())) for name, file in _image_files(root, split))
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}", _HINTS[layout]) from None
        if split in _NEEDED[layout] and not found:
            raise DataError(f"{root} is a {layout}, but there is no image {split}/CLASS/*.png", _HINTS[layout])
        stamps |= found
    try:
        "".join(stamps).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{root}: a file name is not UTF-8, near {error.object[error.start - 40 : error.start]!r}", "rename it"
        ) from None
    return TreeSource(root, layout, stamps)


def _image_files(root: Path, split: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the path below root and the entry of every image of a split; hidden files are none."""
    if not os.path.isdir(root / split):
        return
    with os.scandir(root / split) as folders:
        for folder in folders:
            if folder.is_dir() and not folder.name.startswith("."):
                with os.scandir(folder) as files:
                    for file in files:
                        if file.name.lower().endswith(SUFFIXES) and not file.name.startswith("."):
                            yield f"{split}/{folder.name}/{file.name}", file


def _label(name: str) -> str:
    return name.split("/")[1]


def _size(path: Path, layout: str) -> tuple[int, int]:
    """Return width and height of an image."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return image.size
    except Exception as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})", _HINTS[layout]) from None


def _read(root: Path, names: list[str], size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Decode files of `size` (width, height); return pixels (image, 3, height, width) and what is wrong with which."""
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
    chunks = [names[start : start + _FILES_PER_TASK] for start in range(0, len(names), _FILES_PER_TASK)]
    decode_chunk = partial(_decode_chunk, root, size)
    workers = min(available_cores(), len(chunks))
    if workers == 1:
        return chain.from_iterable(map(decode_chunk, chunks))
    return map_in_order(local_pool(workers), decode_chunk, chunks, on_crash=lambda name: "kills the decoder")


def _decode_chunk(root: Path, size: tuple[int, int], names: Sequence[str]) -> list[np.ndarray | str]:
    return [_decode(root / name, size) for name in names]


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray | str:
    """Decode an image file to (3, height, width), or return the fault that makes it unusable."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.size != size:
                return f"is {image.size[0]}x{image.size[1]}"
            if image.mode.startswith(("I", "F")):  # Pillow would clip instead of scale
                return "has more than 8 bits a channel"
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except Exception as error:  # damage can raise anything, Pillow names no complete list
        return f"cannot be read ({first_line(error)})"
