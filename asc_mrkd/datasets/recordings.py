"""A data set of recordings: its clips, their labels and their splits, as every layout is read."""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.files import find_files


@dataclass(frozen=True)
class Dataset:
    """The clips of one data set folder."""

    root: Path
    """Folder that the file names are relative to."""
    layout: str
    """`TUT 2018`, `TAU 2019`, `TAU 2020 3Class`, `TAU 2020 Mobile`, `TAU 2022 Mobile` or `evaluation` (no labels). Own
    recordings have the layout of the first set with such lists."""
    clips: pd.DataFrame
    """One row per clip, sorted by filename: filename, label, identifier, source_label, city and split (`train`, `test`
    or `unused`). Clips without labels have the split `test` and empty strings elsewhere."""
    classes: list[str]
    """Labels of the clips in a split, in alphabetical order; the position of a label is its class index."""
    duplicates: int
    """Number of repeated rows in the lists; they are dropped."""


def list_recordings(root: Path) -> list[str]:
    """List the sound files under `root`/audio by their path below `root`, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in find_files(root / "audio", SOUND_SUFFIXES))


def list_other_files(root: Path) -> list[str]:
    """List the files under `root`/audio that are not sound files by their names, without hidden files, sorted."""
    others = [path for path in (root / "audio").rglob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path.relative_to(root).as_posix() for path in others if path.suffix.lower() not in SOUND_SUFFIXES)


def printable(name: str) -> str:
    r"""Return the name of a file as far as it is UTF-8.

    >>> printable("caf\udce9.wav") == "caf\ufffd.wav"
    True
    """
    return os.fsencode(name).decode(errors="replace")
