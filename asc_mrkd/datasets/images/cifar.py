"""CIFAR-10 and CIFAR-100 in the official Python version: pickled batches and a list of class names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.datasets.images.image_set import ImageSplit, file_state, make_table
from asc_mrkd.datasets.images.unpickle import read_pickle, text
from asc_mrkd.errors import DataError

SHAPE = (3, 32, 32)
"""Channel, height, width: a row of a batch holds the red, the green and the blue plane, each row by row."""


@dataclass(frozen=True)
class CifarFormat:
    """Names of the files of one CIFAR set, and keys of the values in them."""

    layout: str
    """Name of the layout."""
    folder: str
    """Folder that the archive unpacks to."""
    splits: dict[str, list[str]]
    """Batch files of each split, in order."""
    meta: tuple[str, str]
    """File of the class names, and their key."""
    labels: str
    """Key of the class indices in a batch."""
    groups: tuple[str, str] | None
    """Keys of the superclass names (in the file of the class names) and of their indices; None without superclasses."""
    hint: str
    """Command that downloads the set."""

    @property
    def files(self) -> list[str]:
        """Every file of the set."""
        return [self.meta[0], *(name for names in self.splits.values() for name in names)]


FORMATS = [
    CifarFormat(
        layout="CIFAR-10",
        folder="cifar-10-batches-py",
        splits={"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
        meta=("batches.meta", "label_names"),
        labels="labels",
        groups=None,
        hint="asc-mrkd download cifar10",
    ),
    CifarFormat(
        layout="CIFAR-100",
        folder="cifar-100-python",
        splits={"train": ["train"], "test": ["test"]},
        meta=("meta", "fine_label_names"),
        labels="fine_labels",
        groups=("coarse_label_names", "coarse_labels"),
        hint="asc-mrkd download cifar100",
    ),
]


@dataclass(frozen=True)
class CifarSource:
    """A CIFAR folder that is complete, not read yet."""

    root: Path
    """Folder of the files."""
    format: CifarFormat
    """Names and keys of the set."""
    file_states: dict[str, str]
    """State of every file, by name."""

    @property
    def layout(self) -> str:
        """Name of the layout."""
        return self.format.layout

    def classes(self) -> list[str]:
        """Return the class names in alphabetical order.

        Raises:
            DataError: the file of the names is damaged.
        """
        return sorted(self._read_names(self.format.meta[1]))

    def splits(self) -> Iterator[tuple[str, ImageSplit]]:
        """Read one split after the other; images keep their official order and are named by it: train/00042.

        The official file names are not used: they occur twice within a split.

        Raises:
            DataError: a batch is damaged, or does not fit the lists of names.
        """
        classes = self._read_names(self.format.meta[1])
        groups = self._read_names(self.format.groups[0]) if self.format.groups else []
        for split, files in self.format.splits.items():
            pixels = []
            labels = []
            identifiers = []
            for name in files:
                images, class_indices, group_indices = self._read_batch(name, len(classes), len(groups))
                pixels.append(images)
                labels += [classes[index] for index in class_indices]
                identifiers += [groups[index] for index in group_indices]
            joined = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
            filenames = [f"{split}/{position:05d}" for position in range(len(labels))]
            empty = [""] * len(labels)
            yield split, ImageSplit(joined, make_table(filenames, labels, identifiers or empty, empty))

    def _read_names(self, key: str) -> list[str]:
        """Return a list of names from the file of the class names."""
        path = self.root / self.format.meta[0]
        names = self._value(path, read_pickle(path, self.format.hint), key, list)
        if not names or not all(isinstance(name, str | bytes) for name in names) or len(set(names)) < len(names):
            raise DataError(f"{path}: {key} is not a list of different names", self.format.hint)
        return [text(name) for name in names]

    def _read_batch(self, name: str, classes: int, groups: int) -> tuple[np.ndarray, list[int], list[int]]:
        """Return pixels (image, 3, 32, 32), class indices and superclass indices of a batch file."""
        path = self.root / name
        batch = read_pickle(path, self.format.hint)
        data = self._value(path, batch, "data", np.ndarray)
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != np.prod(SHAPE) or len(data) == 0:
            expected = f"uint8 (images, {np.prod(SHAPE)})"
            raise DataError(f"{path}: data is {data.dtype} {data.shape} instead of {expected}", self.format.hint)
        labels = self._indices(path, batch, self.format.labels, len(data), classes)
        coarse = []
        if self.format.groups:
            coarse = self._indices(path, batch, self.format.groups[1], len(data), groups)
        return data.reshape(-1, *SHAPE), labels, coarse

    def _indices(self, path: Path, batch: dict[str, Any], key: str, images: int, below: int) -> list[int]:
        """Return the indices under a key of a batch: one per image, each in 0 ... `below` - 1."""
        indices = self._value(path, batch, key, list)
        if len(indices) != images:
            raise DataError(f"{path}: {len(indices)} {key} for {images} images", self.format.hint)
        for position, index in enumerate(indices):
            if not isinstance(index, int) or not 0 <= index < below:
                raise DataError(f"{path}: image {position} of {key} has no index below {below}", self.format.hint)
        return indices

    def _value(self, path: Path, values: dict[str, Any], key: str, kind: type) -> Any:
        """Return the value under a key, which must be of some type."""
        if not isinstance(values.get(key), kind):
            raise DataError(f"{path} holds no {key}, as {self.layout} has it", self.format.hint)
        return values[key]


def is_cifar(folder: Path, cifar: CifarFormat) -> bool:
    """Return whether a folder has the official name or two of the files; a single `train` or `meta` says nothing."""
    if not folder.is_dir():
        return False
    if folder.resolve().name == cifar.folder:
        return True
    return sum(os.path.isfile(folder / name) for name in cifar.files) > 1


def list_cifar(root: Path, cifar: CifarFormat) -> CifarSource:
    """List the files of a CIFAR folder.

    Raises:
        DataError: one is missing.
    """
    try:
        return CifarSource(root, cifar, {name: file_state((root / name).stat()) for name in cifar.files})
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}", cifar.hint) from None
