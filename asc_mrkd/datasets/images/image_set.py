"""Labelled images of one size in splits, as every layout is read, and the protocol of the layouts."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class ImageSplit:
    """The images of one split."""

    pixels: np.ndarray
    """(image, 3, height, width) uint8, red, green, blue; read-only, as a rule a memory map."""
    table: pd.DataFrame
    """One row per image, all cells text: filename (unique in the set), label, identifier (the superclass in CIFAR-100)
    and source_label (`cifar10` or `imagenet` in CINIC-10); empty where the layout has no such fact."""


@dataclass(frozen=True)
class ImageSet:
    """An opened image set."""

    root: Path
    """Folder of the files."""
    layout: str
    """`CIFAR-10`, `CIFAR-100`, `CINIC-10` or `image folder`."""
    classes: list[str]
    """Class names in alphabetical order; the position of a name is its class index."""
    splits: dict[str, ImageSplit]
    """Splits by name: `train` and `test`, and `valid` if the set has one."""
    digest: str
    """SHA-256 of the content (classes, tables, pixels), hexadecimal; the same wherever the set lies."""


def make_table(filenames: list[str], labels: list[str], identifiers: list[str], sources: list[str]) -> pd.DataFrame:
    """Return the table of a split; the four lists have one entry per image."""
    return pd.DataFrame(dict(zip(CLIP_COLUMNS, (filenames, labels, identifiers, sources), strict=True)), dtype=str)


def digest_of_split(split: ImageSplit) -> str:
    """Return the SHA-256 of the table and the pixels of a split, hexadecimal."""
    content = hashlib.sha256(split.table.to_csv(index=False, lineterminator="\n").encode())
    content.update(f"{split.pixels.shape}\n".encode())
    content.update(np.ascontiguousarray(split.pixels).data)
    return content.hexdigest()


def digest_of_set(classes: list[str], digests: Mapping[str, str]) -> str:
    """Return the SHA-256 of an image set from its classes and the digest of each split, hexadecimal."""
    lines = [*classes, *(f"{name}\t{digest}" for name, digest in digests.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Source(Protocol):
    """Images as their layout keeps them, listed but not read."""

    @property
    def root(self) -> Path:
        """Folder of the files."""
        ...

    @property
    def layout(self) -> str:
        """Name of the layout."""
        ...

    @property
    def file_states(self) -> dict[str, str]:
        """State of every file (see `file_state`) by its path below the folder."""
        ...

    def classes(self) -> list[str]:
        """Return the class names in alphabetical order."""
        ...

    def splits(self) -> Iterator[tuple[str, ImageSplit]]:
        """Read one split after the other; a DataError names the files that cannot be read."""
        ...


def file_state(status: os.stat_result) -> str:
    """Return size (bytes) and time of change (ns) of a file, which differ after a change."""
    return f"{status.st_size} {status.st_mtime_ns}"
