"""The table of layouts of recordings, one row per layout, and the reading of a folder in any of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asc_mrkd.datasets.dcase import (
    OWN_HINT,
    UNPACK_HINT,
    is_development_set,
    is_evaluation_set,
    read_development_set,
    read_evaluation_set,
)
from asc_mrkd.datasets.recordings import Dataset
from asc_mrkd.errors import DataError


@dataclass(frozen=True)
class Layout:
    """One way to arrange recordings and lists in a folder."""

    matches: Callable[[Path], bool]
    """Says whether a folder has this layout, by the names in it."""
    read: Callable[[Path], Dataset]
    """Reads the lists of a folder that matches; opens no recording."""


LAYOUTS = (
    Layout(is_development_set, read_development_set),
    Layout(is_evaluation_set, read_evaluation_set),
)
"""All layouts; the first that matches a folder reads it."""


def read_dataset(root: str | os.PathLike[str]) -> Dataset:
    """Read the lists of a data set as its archives unpack; no recording is opened.

    Args:
        root: the data set folder, or a folder that holds exactly one of them.

    Raises:
        DataError: a folder or list is missing or damaged, or two lists contradict each other.

    Example:
        clips = read_dataset("data/TUT-urban-acoustic-scenes-2018-development").clips
    """
    folder, layout = _find_dataset(Path(root))
    return layout.read(folder)


def _find_dataset(root: Path) -> tuple[Path, Layout]:
    """Find the data set that a folder is, or the only one directly in it."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", UNPACK_HINT)
    layout = _recognise(root)
    if layout:
        return root, layout
    found = [(folder, layout) for folder in sorted(root.iterdir()) if (layout := _recognise(folder))]
    if not found:
        hint = UNPACK_HINT if any(root.glob("*.zip")) else OWN_HINT
        raise DataError(f"{root} holds no data set: neither meta.csv nor evaluation_setup/ nor audio/", hint)
    if len(found) > 1:
        names = ", ".join(folder.name for folder, _ in found)
        raise DataError(f"{root} holds several data sets: {names}", f"name one of them, as {found[0][0]}")
    return found[0]


def _recognise(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(folder)), None)
