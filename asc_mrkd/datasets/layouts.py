"""The table of layouts of recordings, one row per layout, and the reading of a folder or a table in any of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from asc_mrkd.datasets.dcase import (
    OWN_HINT,
    UNPACK_HINT,
    is_development_set,
    is_evaluation_set,
    read_development_set,
    read_evaluation_set,
)
from asc_mrkd.datasets.own import has_sound, is_class_folders, read_class_folders
from asc_mrkd.datasets.recordings import Dataset, Reading
from asc_mrkd.datasets.tables import LIST_FOLDERS, TABLE_SUFFIXES, is_table, lists_clips, read_table
from asc_mrkd.errors import DataError
from asc_mrkd.folders import visible_folders


@dataclass(frozen=True)
class Layout:
    """One way to arrange recordings and lists in a folder."""

    matches: Callable[[Path], bool]
    """Test of a folder for this layout, by the names in it."""
    read: Callable[[Path], Dataset]
    """Reader of the lists of a folder that matches; it opens no recording."""


LAYOUTS = (
    Layout(is_development_set, read_development_set),
    Layout(is_evaluation_set, read_evaluation_set),
)
"""All official layouts; the first that matches a folder reads it."""


def read_dataset(data: str | os.PathLike[str] | pd.DataFrame, reading: Reading | None = None) -> Dataset:
    """Read the lists of a data set; no recording is opened.

    Args:
        data: a data set as its archives unpack, or a folder that holds exactly one; or own recordings: a folder per
            class, with or without train, valid and test above them, or a table with columns for files and labels.
        reading: names of the columns and the choice of a split, for own recordings.

    Raises:
        DataError: a folder or list is missing or damaged, two lists contradict each other, or `reading` does not go
            with the data.

    Example:
        clips = read_dataset("data/TUT-urban-acoustic-scenes-2018-development").clips
        own = read_dataset("recordings.csv", Reading(label_column="category"))
    """
    reading = reading or Reading()
    if isinstance(data, pd.DataFrame):
        return read_table(data, reading)
    root = Path(data)
    if root.is_file():
        if not is_table(root):
            raise DataError(f"{root} is not a table", f"tables end in {', '.join(TABLE_SUFFIXES)}")
        return read_table(root, reading)
    own = _find_own(root)
    if own is not None:
        return own(reading)
    folder, layout = _find_dataset(root)
    if reading != Reading():
        raise DataError(
            f"{folder} is in an official layout, which has its own columns and splits", "leave the options out"
        )
    return layout.read(folder)


def _find_own(root: Path) -> Callable[[Reading], Dataset] | None:
    """Return the function that reads own recordings in a folder; None if it, or a folder in it, is an official set."""
    if not root.is_dir() or is_development_set(root) or os.path.exists(root / "evaluation_setup"):
        return None
    tables = _tables_in(root)
    if len(tables) == 1:
        return partial(_read_only_table, tables[0])
    lists = [path for name in LIST_FOLDERS for path in _tables_in(root / name) if lists_clips(path)]
    if len(lists) == 1:
        return partial(read_table, lists[0])
    if is_class_folders(root / "audio"):
        return lambda reading: read_class_folders(root / "audio", reading)
    official = any(_recognise(folder) for folder in [root, *root.iterdir()])
    if official or not is_class_folders(root):
        return None
    return lambda reading: read_class_folders(root, reading)


def _tables_in(folder: Path) -> list[Path]:
    """List the tables in a folder, which need not exist, sorted, without hidden ones."""
    return [path for path in sorted(folder.glob("*")) if is_table(path) and not path.name.startswith(".")]


def _read_only_table(table: Path, reading: Reading) -> Dataset:
    """Read the only table in a folder."""
    try:
        return read_table(table, reading)
    except DataError as error:
        if is_class_folders(table.parent):
            error.hint += f"; without {table.name} in it, {table.parent} is read as a folder per class"
        raise


def _find_dataset(root: Path) -> tuple[Path, Layout]:
    """Find the data set that a folder is, or the only one directly in it."""
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder", OWN_HINT)
    layout = _recognise(root)
    if layout:
        return root, layout
    found = [(folder, layout) for folder in sorted(root.iterdir()) if (layout := _recognise(folder))]
    if not found:
        hint = UNPACK_HINT if any(root.glob("*.zip")) else OWN_HINT
        inner = [folder for folder in visible_folders(root) if is_class_folders(folder)]
        if inner:
            hint = f"{inner[0]} in it is a folder per class: name that"
        fault = "neither meta.csv nor evaluation_setup/ nor audio/"
        if has_sound(root) and not inner:
            fault = "its sound files are not in folders of at least two classes"
        raise DataError(f"{root} holds no data set: {fault}", hint)
    if len(found) > 1:
        names = ", ".join(folder.name for folder, _ in found)
        raise DataError(f"{root} holds several data sets: {names}", f"name one of them, such as {found[0][0]}")
    return found[0]


def _recognise(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(folder)), None)
