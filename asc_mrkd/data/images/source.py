"""Finding an image set by the names of its files, before anything is read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from asc_mrkd.data.images.image_set import ImageSplit


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
