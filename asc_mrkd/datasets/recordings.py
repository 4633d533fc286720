"""A data set of recordings: its clips, their labels and their splits, as every layout is read."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.datasets.findings import Finding
from asc_mrkd.errors import ConfigError, DataError
from asc_mrkd.folders import find_files

NONE = "none"
"""Word that ignores a column."""

TEST_SHARE = 0.25
"""Share of the clips that a made split gives to the test."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Columns and split of own recordings, where a folder or a table does not say them itself.

    >>> Reading(label_column="category", test_fold="4").split_seed
    0
    """

    path_column: str | None = None
    """Column of the file names; None looks for a usual name, in any capitals, as do the next five."""
    label_column: str | None = None
    """Column of the classes."""
    group_column: str | None = None
    """Column of what clips share that must not be divided between training and test, such as a place or a session."""
    split_column: str | None = None
    """Column of the splits: train, test, valid. `none` ignores it, as for the group and the fold."""
    fold_column: str | None = None
    """Column of the folds."""
    start_column: str | None = None
    """Column of the starts (s) of clips in their files. `none` takes every file whole, whatever the table says."""
    root: str | os.PathLike[str] | None = None
    """Folder that the file names start from; None looks for the files near the table."""
    test_fold: str | None = None
    """Fold that is for testing; None takes the given splits, or the first fold."""
    test_share: float = TEST_SHARE
    """Share of the clips that is for testing, where the split has to be made, 0.01 to 0.5. It is rounded to one of
    2, 3, 4 ... equal parts, as 0.4 to a half."""
    split_seed: int = 0
    """Seed of a split that has to be made."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.test_share <= 0.5:
            raise ConfigError(
                f"--test-share {self.test_share:g} is not between 0.01 and 0.5", "write --test-share 0.25"
            )


@dataclass(frozen=True)
class Dataset:
    """The clips of one data set folder."""

    root: Path
    """Folder that the file names are relative to."""
    layout: str
    """`TUT 2018`, `TAU 2019`, `TAU 2020 3Class`, `TAU 2020 Mobile`, `TAU 2022 Mobile` or `evaluation` (no labels); a
    folder with such lists has the layout of the first set with them. Own recordings: `folders` or `table`."""
    clips: pd.DataFrame
    """One row per clip, sorted by filename: filename, label, identifier, source_label and split (`train`, `test` or
    `unused`). Clips without labels have the split `test` and empty strings elsewhere. Official sets also have the
    city. Of own recordings the identifier is the group, "" where there is none, and there may be fold, recording (the
    file), start and end (s)."""
    classes: list[str]
    """Labels of the clips in a split, in alphabetical order; the position of a label is its class index."""
    duplicates: int
    """Number of repeated rows in the lists; they are dropped."""
    audio: tuple[Path, ...] = (Path("audio"),)
    """Folders below the root that hold the recordings and nothing else."""
    understood: tuple[str, ...] = ()
    """Sentences about own recordings: where the columns, the groups and the splits come from."""
    findings: tuple[Finding, ...] = ()
    """Faults that were found while own recordings were listed."""

    @property
    def is_own(self) -> bool:
        """Whether these are own recordings, whose lengths may differ, and not a folder with official lists."""
        return bool(self.understood)

    @property
    def files(self) -> list[str]:
        """Names of the files of the clips, each once, in order."""
        return recordings_of(self.clips).drop_duplicates().tolist()


def recordings_of(clips: pd.DataFrame) -> pd.Series:
    """Return the name of the file of every clip of a table, which names the files where clips are parts of them."""
    return clips["recording" if "recording" in clips else "filename"]


def list_recordings(root: Path, audio: Path = Path("audio")) -> list[str]:
    """List the sound files under `root`/`audio` by their path below `root`, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in find_files(root / audio, SOUND_SUFFIXES))


def list_other_files(root: Path, audio: Path = Path("audio")) -> list[str]:
    """List the files under `root`/`audio` that are not sound files by their names, without hidden ones, sorted."""
    others = [path for path in find_files(root / audio) if path.suffix.lower() not in SOUND_SUFFIXES]
    return sorted(path.relative_to(root).as_posix() for path in others if path.is_file())


def printable(name: str) -> str:
    r"""Return the name of a file as far as it is UTF-8.

    >>> printable("caf\udce9.wav") == "caf\ufffd.wav"
    True
    """
    return os.fsencode(name).decode(errors="replace")


def require_plain_names(root: Path, names: Iterable[str]) -> None:
    """Refuse names of files that cannot be written into a table of clips.

    Raises:
        DataError: a name is not UTF-8, or has a line break in it.
    """
    for name in names:
        if printable(name) != name:
            raise DataError(f"{root}: the name of {printable(name)} is not UTF-8", "rename the file")
        if "\n" in name or "\r" in name:
            raise DataError(f"{root}: the name {name!r} has a line break in it", "rename the file")
