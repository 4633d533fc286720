"""A data set of recordings: its clips, their labels and their splits, as every layout is read."""

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
    """`TUT 2018`, `TAU 2019` (used to this day) or `evaluation` (no labels)."""
    clips: pd.DataFrame
    """One row per clip, sorted by filename: filename, label, identifier, source_label, city and split (`train`, `test`
    or `unused`). Clips without labels have the split `test` and empty strings elsewhere."""
    classes: list[str]
    """Labels in alphabetical order; the position of a label is its class index."""
    duplicates: int
    """Number of repeated rows in the lists; they are dropped."""


def list_recordings(root: Path) -> list[str]:
    """List the sound files under `root`/audio by their path below `root`, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in find_files(root / "audio", SOUND_SUFFIXES))
