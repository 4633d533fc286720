"""Labelled images of one size, in splits: what every layout is read into."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class ImageSplit:
    """The images of one split.

    Attributes:
        pixels: (image, 3, height, width) uint8, red, green, blue; read-only, as a rule a memory map.
        table: a row an image, all of them text: filename (unique in the set), label, identifier (the superclass in
            CIFAR-100), source_label ("cifar10" or "imagenet" in CINIC-10); empty where the layout knows nothing.
    """

    pixels: np.ndarray
    table: pd.DataFrame


@dataclass(frozen=True)
class ImageSet:
    """An opened image set.

    Attributes:
        root: the folder that holds its files.
        layout: "CIFAR-10", "CIFAR-100", "CINIC-10" or "image folder".
        classes: class names in alphabetical order; the position is the class index.
        splits: "train" and "test", and "valid" where there is one.
    """

    root: Path
    layout: str
    classes: list[str]
    splits: dict[str, ImageSplit]


def make_table(filenames: list[str], labels: list[str], identifiers: list[str], sources: list[str]) -> pd.DataFrame:
    """Return the table of a split."""
    return pd.DataFrame(dict(zip(CLIP_COLUMNS, (filenames, labels, identifiers, sources), strict=True)), dtype=str)


class Source(Protocol):
    """Images as their layout keeps them, found but not read.

    Attributes:
        root: the folder that holds the files.
        layout: name of the layout.
        stamps: size and time of change of every file, by its path below root.
    """

    @property
    def root(self) -> Path: ...  # noqa: D102
    @property
    def layout(self) -> str: ...  # noqa: D102
    @property
    def stamps(self) -> dict[str, str]: ...  # noqa: D102

    def classes(self) -> list[str]:
        """Return the class names, alphabetically."""
        ...

    def splits(self) -> Iterator[tuple[str, ImageSplit]]:
        """Read one split after the other; a DataError names what cannot be read."""
        ...


def stamp(status: os.stat_result) -> str:
    """Return what tells a changed file from an unchanged one: size (bytes) and time of change (ns)."""
    return f"{status.st_size} {status.st_mtime_ns}"
