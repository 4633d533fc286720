"""The feature store on the disk: a memory map of spectrograms, a table of clips, the front end, classes, statistics.

The last file written, SHA256SUMS, vouches for the others: it holds the checksum of every small file, and the table
among them holds the checksum of every row of the memory map. So opening a store checks it without reading its rows.
"""

import errno
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from asc_mrkd.errors import DISK_FULL, SHOWN, StoreError, first_line, no_room, shell_command
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer, file_sha256, sync_folder, write_text
from asc_mrkd.folders import visible_paths
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.notebook import shown_by
from asc_mrkd.schema import differing_key, parse
from asc_mrkd.store.statistics import RunningStatistics, row_moments
from asc_mrkd.texts import read_yaml

FEATURES = "features.npy"
CLIPS = "clips.csv"
SPEC = "spec.yaml"
CLASSES = "classes.txt"
STATS = "stats.npz"
SUMS = "SHA256SUMS"

JOURNAL = "journal.csv"
"""Journal of an extraction in progress: lines `row,crc32,reason`, where the checksum of an unusable clip is empty."""

NEXT = ".next"
"""Folder in a store whose list of clips has changed: the store that will take its place, once it is finished."""

SHARD = "shard.yaml"
"""File that only the store of a shard has."""

SUMMED = (CLIPS, SPEC, CLASSES, STATS)
"""Files whose checksums are in SHA256SUMS, in the format of `sha256sum`."""

PENDING, OK, BAD = "pending", "ok", "bad"
"""Values of the column `status`: not tried yet, usable, unusable."""

SPLITS = ("train", "test", "unused")
"""Values of the column `split`."""

COLUMNS = {
    "row": int,
    "filename": str,
    "label": str,
    "identifier": str,
    "source_label": str,
    "split": str,
    "frames": int,
    "status": str,
    "reason": str,
    "crc32": int,
}
"""Columns of clips.csv and their types; `crc32` is the checksum of the stored row."""

PIECE_COLUMNS = {"recording": str, "start": float, "end": float, "short": str}
"""Further columns of a store with parts of recordings: the file, start and end in it (s), and the treatment of a
recording that is too short (see `asc_mrkd.datasets.pieces`), "" if it is not. The filename names the part."""

OPTIONAL_COLUMNS = {"fold": str, **PIECE_COLUMNS}
"""Columns that only some stores have: the fold is that of the data, for a cross-validation."""

MAKE_ONE = "make one: asc-mrkd extract-features --data DIR --spec pmel256 --out STORE"
REPEAT = "run the same extract-features command again"
REPAIR = f"{REPEAT}: it repairs the store; if it refuses, remove the store first"
REPAIR_ROWS = f"delete {SUMS} in the store and run the same extract-features command again: it makes damaged rows again"
START_OVER = "remove the store and extract again"


@dataclass(frozen=True)
class FeatureStore:
    """An opened feature store.

    Example:
        ```python
        store = open_store("exp/store")
        rows = store.rows("train")["row"]
        spectrogram = store.features[rows.iloc[0]]  # (channel, mel, frame)
        ```
    """

    folder: Path
    """Folder of the store."""
    spec: FrontendSpec
    """Front end of the features."""
    clips: pd.DataFrame
    """Table with one row per clip, see COLUMNS and OPTIONAL_COLUMNS."""
    classes: list[str]
    """Class names; the position of a name is its class index."""
    features: np.ndarray
    """Memory map (row, channel, mel, frame), float16, read-only."""
    digest: str = ""
    """SHA-256 of the content, hexadecimal: clips, definition, classes, statistics and checksums of the rows. It is the
    same wherever the store lies; empty for a store that is not finished."""

    _repr_html_ = shown_by("asc_mrkd.report.notebook", "store_html")

    @property
    def is_finished(self) -> bool:
        """True if every clip has been tried and the checksums are written."""
        return not (self.clips["status"] == PENDING).any() and (self.folder / SUMS).exists()

    def rows(self, split: str) -> pd.DataFrame:
        """Return the usable clips of a split (train, test, unused)."""
        return self.clips[(self.clips["split"] == split) & (self.clips["status"] == OK)]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the training rows per mel bin, each (mel,), float32.

        Raises:
            StoreError: they are damaged, or a mel bin has the same value everywhere, by which nothing can be divided.
        """
        try:
            with np.load(self.folder / STATS, allow_pickle=False) as arrays:
                mean, std = (arrays[name].astype(np.float32) for name in ("mean", "std"))
                has_rows = int(arrays["values"]) > 0
        except Exception:  # damage can raise anything, numpy names no complete list
            raise StoreError(f"{self.folder}: {STATS} is missing or damaged", REPAIR) from None
        if mean.shape != (self.spec.n_mels,) or std.shape != mean.shape or not np.isfinite([mean, std]).all():
            raise StoreError(f"{self.folder}: {STATS} is damaged", REPAIR)
        if has_rows:
            self._require_spread(std)
        return mean, std

    def statistics_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of some rows (row,) as `statistics` does of the training rows.

        Raises:
            StoreError: a mel bin has the same value everywhere, by which nothing can be divided.
        """
        statistics = RunningStatistics(self.spec.n_mels)
        for row in rows:
            statistics.add(row_moments(self.features[row]))
        std = statistics.std.astype(np.float32)
        self._require_spread(std)
        return statistics.mean.astype(np.float32), std

    def _require_spread(self, std: np.ndarray) -> None:
        if not (std > 0).all():
            bins = ", ".join(map(str, np.flatnonzero(~(std > 0))))
            raise StoreError(
                f"{self.folder}: mel bin {bins} has the same value in all training clips",
                "the recordings end below its frequency: choose a front end with a lower fmax or fewer mel filters",
            )


class CheckedRows:
    """The features of a store, in which every row is compared with its checksum when it is read for the first time."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.is_checked = np.zeros(len(store.clips), dtype=bool)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (row, channel, mel, frame).

        Raises:
            StoreError: a row is not as it was written.
        """
        values = self.store.features[rows]
        checksums = self.store.clips["crc32"].to_numpy()
        for row, row_values in zip(rows, values, strict=True):
            if not self.is_checked[row]:
                if zlib.crc32(row_values.data) != checksums[row]:
                    name = self.store.clips["filename"].iloc[row]
                    raise StoreError(f"{self.store.folder}: row {row} ({name}) is damaged", REPAIR_ROWS)
                self.is_checked[row] = True
        return values


def require_store_or_empty(folder: Path) -> None:
    """Refuse to make a store among the files of something else, such as a run or recordings.

    Raises:
        StoreError: the folder is neither that of a store, finished or not, nor empty.
    """
    if folder.exists() and not (folder / SPEC).exists():
        _require_empty(folder)


def _require_empty(folder: Path) -> None:
    names = [path.name for path in visible_paths(folder)]
    if names:
        more = ", ..." if len(names) > SHOWN else ""
        raise StoreError(
            f"{folder} is not a feature store, and not empty: it holds {', '.join(names[:SHOWN])}{more}",
            "choose another --out",
        )


def is_store(folder: Path) -> bool:
    """Return whether a folder is a feature store, finished or not, and not a data set."""
    return all((folder / name).exists() for name in (SPEC, CLIPS, FEATURES))


def open_store(folder: str | os.PathLike[str]) -> FeatureStore:
    """Open a finished feature store.

    Raises:
        StoreError: the folder is not a feature store, its extraction has not finished, or one of its files, which is
            named, is not as it was written.
    """
    folder = Path(folder)
    if (folder / NEXT / SUMS).exists():
        with exclusive_lock(folder, StoreError, wait=True):
            finish_replacement(folder)
    store = open_parts(folder)
    pending = (store.clips["status"] == PENDING).sum()
    if pending:
        raise StoreError(
            f"{folder}: extraction has not finished, {pending} clips are missing", f"{REPEAT}; it continues"
        )
    if not (folder / SUMS).exists():
        raise StoreError(
            f"{folder} has no {SUMS}: an earlier version made it, or the file is lost",
            f"{REPEAT}: it compares every row and adds the file, without reading the recordings",
        )
    for name in _changed_files(folder):
        raise StoreError(f"{folder / name} is missing or not as it was written (see {SUMS})", REPAIR)
    return replace(store, digest=_sha256(folder / SUMS))


def is_intact(folder: Path) -> bool:
    """Return whether the small files of a finished store are as they were written."""
    return not any(_changed_files(folder))


def _changed_files(folder: Path) -> Iterator[str]:
    """Yield the names of the small files that are not as they were written, and SUMS if it holds anything else."""
    written = (folder / SUMS).read_bytes().decode("ascii", errors="replace").splitlines()
    for name in SUMMED:
        if _sum_line(folder, name) not in written:
            yield name
    if len(written) != len(SUMMED):
        yield SUMS


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; of a missing file the empty string."""
    return file_sha256(path) if path.exists() else ""


def open_parts(folder: Path) -> FeatureStore:
    """Open a store, finished or not."""
    for name in (SPEC, CLIPS, FEATURES):
        if not (folder / name).exists():
            raise StoreError(f"{folder} is not a feature store: {name} is missing", MAKE_ONE)
    spec = parse(FrontendSpec, read_yaml(folder / SPEC, START_OVER), str(folder / SPEC))
    classes = _read_classes(folder / CLASSES)
    clips = _read_table(folder / CLIPS, classes)
    try:
        features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damage can raise anything, numpy names no complete list
        raise StoreError(f"{folder / FEATURES} is damaged: {first_line(error)}", START_OVER) from None
    shape = (len(clips), *spec.shape)
    size = (folder / FEATURES).stat().st_size
    if features.shape != shape or features.dtype != np.float16 or features.offset + features.nbytes != size:
        raise StoreError(f"{folder}: {FEATURES} and {CLIPS} do not belong together", START_OVER)
    return FeatureStore(folder, spec, clips, classes, features)


def _read_table(path: Path, classes: list[str]) -> pd.DataFrame:
    try:
        clips = pd.read_csv(path, keep_default_na=False, dtype={**COLUMNS, **OPTIONAL_COLUMNS})
    except (ValueError, OverflowError) as error:
        raise StoreError(f"{path} is damaged: {first_line(error)}", START_OVER) from None
    for column in COLUMNS:
        if column not in clips:
            raise StoreError(f"{path} has no column {column}: another version of asc_mrkd made it", START_OVER)
    if "start" in clips:
        clips[["start", "end"]] = clips[["start", "end"]].round(3)  # reading may be wrong in the last digit
    is_used = clips["split"] != "unused"
    # One entry per rule: the clips that break it, and the complaint about the first of them.
    rules = [
        (clips["row"] != np.arange(len(clips)), "is not at its row"),
        (clips["filename"].duplicated(), "is listed twice"),
        (is_used & ~clips["label"].isin([*classes, ""]), "has a label that is not among the classes"),
        (~clips["split"].isin(SPLITS), f"has a split that is not one of {', '.join(SPLITS)}"),
        (~clips["status"].isin([PENDING, OK, BAD]), "has an unknown status"),
        (~clips["crc32"].between(0, 2**32 - 1), "has a checksum that is not one"),
    ]
    for broken, complaint in rules:
        if broken.any():
            raise StoreError(f"{path} is damaged: {clips.loc[broken, 'filename'].iloc[0]} {complaint}", START_OVER)
    return clips


def _read_classes(path: Path) -> list[str]:
    try:
        classes = [name for name in path.read_text(encoding="utf-8").split("\n") if name]
    except OSError as error:  # never guessed from the clips: another order would swap the classes of a trained network
        raise StoreError(f"{path}: {error.strerror}", REPAIR) from None
    except UnicodeDecodeError:
        raise StoreError(f"{path} is damaged", REPAIR) from None
    if len(set(classes)) < len(classes):
        raise StoreError(f"{path} is damaged: it names a class twice", REPAIR)
    return classes


def create_or_continue(
    folder: Path, clips: pd.DataFrame, spec: FrontendSpec, classes: Sequence[str] | None = None
) -> FeatureStore:
    """Make an empty store for `clips`, or open the store in `folder` if it was made for the same clips and spec.

    Args:
        folder: folder of the store.
        clips: table with the columns filename, label, identifier, source_label, split.
        spec: front end.
        classes: class names in the order of their indices; by default the labels of `clips` in alphabetical order.

    Raises:
        StoreError: the store was made with another spec (the message names the differing key) or from another list, or
            the folder holds files of another kind under the names of those of a store.
    """
    store = create_or_open(folder, clips, spec, classes)
    if difference := differing_clip(store.clips, clips):
        raise another_list(folder, difference)
    return store


def create_or_open(
    folder: Path, clips: pd.DataFrame, spec: FrontendSpec, classes: Sequence[str] | None = None
) -> FeatureStore:
    """Make an empty store for `clips`, or open the store in `folder` if it was made with the same spec.

    The arguments and errors are those of `create_or_continue`, but the store may have another list of clips.
    """
    if classes is None:
        classes = sorted(set(clips["label"]) - {""})
    require_store_or_empty(folder)
    if not (folder / CLIPS).exists():
        _create(folder, clips, spec, classes)
    if not (folder / CLASSES).exists():
        _write_classes(folder, classes)
    store = open_parts(folder)
    if difference := differing_key(store.spec, spec, places=("in the store", "here")):
        keep = shell_command("extract-features", "--spec", folder / SPEC)
        raise StoreError(
            f"{folder} was made with another spec: {difference}",
            f"choose another --out; {keep} takes the front end of the store",
        )
    return store


def another_list(folder: Path, difference: str) -> StoreError:
    """Return the error for a store of other clips."""
    return StoreError(f"{folder} was made from another list of clips: {difference}", "choose another --out")


def differing_clip(stored: pd.DataFrame, clips: pd.DataFrame) -> str:
    """Return the first difference between the clips of a store and those of a list, in words; "" if there is none."""
    known = set(stored["filename"])
    listed = set(clips["filename"])
    for name in clips["filename"]:
        if name not in known:
            return f"{name} is not in the store"
    for name in stored["filename"]:
        if name not in listed:
            return f"{name} is in the store only"
    keys = ["filename", "label", "split", "identifier", "source_label", *_optional_columns(clips)]
    for column in {**dict.fromkeys(keys), **dict.fromkeys(_optional_columns(stored))}:
        if column not in stored or column not in clips:
            return f"the column {column} is not in both"
        differing = clips["filename"][clips[column].to_numpy() != stored[column].to_numpy()]
        if len(differing):
            return f"{differing.iloc[0]} has another {'row' if column == 'filename' else column}"
    return ""


def _create(folder: Path, clips: pd.DataFrame, spec: FrontendSpec, classes: Sequence[str]) -> None:
    """Write an empty store; its memory map takes no space until its rows are written."""
    folder.mkdir(parents=True, exist_ok=True)
    definition = yaml.safe_dump(spec.model_dump(), sort_keys=False)
    # The definition is written first: with another one, the files are not those of a killed extraction.
    if (folder / SPEC).exists() and (folder / SPEC).read_bytes() != definition.encode():
        _require_empty(folder)
    write_text(folder / SPEC, definition)
    _write_classes(folder, classes)
    shape = (len(clips), *spec.shape)
    try:
        np.lib.format.open_memmap(folder / FEATURES, mode="w+", dtype=np.float16, shape=shape).flush()
    except OSError as error:  # the size of files is limited: elsewhere the rows find out
        if error.errno not in DISK_FULL:
            raise
        size = math.prod(shape) * np.dtype(np.float16).itemsize
        raise no_room(folder / FEATURES, error.errno, f"it needs {size:,} bytes") from None
    table = clips.assign(row=range(len(clips)), frames=0, status=PENDING, reason="", crc32=0)
    write_table(folder, table[[*COLUMNS, *_optional_columns(clips)]])


def _optional_columns(clips: pd.DataFrame) -> list[str]:
    return [column for column in OPTIONAL_COLUMNS if column in clips]


def _write_classes(folder: Path, classes: Sequence[str]) -> None:
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in classes))


def check_space(store: FeatureStore) -> None:
    """Compare the free space of the disk with the size of the rows not written yet.

    Raises:
        OSError: ENOSPC, as if the disk were full already.
    """
    if _missing_space(store):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def finish_replacement(folder: Path) -> None:
    """Put a finished store in NEXT, if there is one, into the place of the store around it, file by file.

    SHA256SUMS comes last: as long as it is there, the replacement is not complete, and this function completes it.
    """
    replacement = folder / NEXT
    if not (replacement / SUMS).exists():
        return
    for journal in (folder / JOURNAL, replacement / JOURNAL):
        journal.unlink(missing_ok=True)
    for path in sorted(replacement.iterdir(), key=lambda path: path.name == SUMS):
        os.replace(path, folder / path.name)
    replacement.rmdir()
    sync_folder(folder)


@contextmanager
def full_disk_explained(store: FeatureStore) -> Iterator[None]:
    """Turn a full disk into a StoreError that names the number of missing bytes."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        fault, remedy = DISK_FULL[error.errno]
        raise StoreError(
            f"{store.folder}: {fault}, {_missing_space(store):,} bytes are missing",
            f"{remedy}, or choose another --out; the same command continues",
        ) from None


def _missing_space(store: FeatureStore) -> int:
    """Return the number of bytes that the disk lacks for the rows not written yet; 0 if they fit."""
    file = (store.folder / FEATURES).stat()
    blocks = getattr(file, "st_blocks", 0)  # Windows does not count them
    unwritten = file.st_size - blocks * 512
    return max(0, unwritten - shutil.disk_usage(store.folder).free)


def finish(store: FeatureStore, clips: pd.DataFrame, statistics: RunningStatistics) -> None:
    """Write the statistics, the table `clips` and at last the checksums of a store whose rows are all written."""
    with open(store.folder / FEATURES, "r+b") as features:  # for writing: Windows flushes no other
        os.fsync(features.fileno())
    _write_statistics(store.folder, statistics)
    write_table(store.folder, clips)
    write_sums(store.folder)


def write_sums(folder: Path) -> None:
    """Write the checksums of the small files, which make the store valid, as `sha256sum` would."""
    write_text(folder / SUMS, "".join(f"{_sum_line(folder, name)}\n" for name in SUMMED))


def _sum_line(folder: Path, name: str) -> str:
    """Return the line of a file in SHA256SUMS."""
    return f"{_sha256(folder / name)}  {name}"


def write_table(folder: Path, clips: pd.DataFrame) -> None:
    """Write the table of clips, whole or not at all."""
    with atomic_writer(folder / CLIPS, "w") as stream:
        clips.to_csv(stream, index=False, lineterminator="\n")


def _write_statistics(folder: Path, statistics: RunningStatistics) -> None:
    """Write mean and unbiased standard deviation of the training rows per mel bin."""
    with atomic_writer(folder / STATS) as stream:
        np.savez(stream, mean=statistics.mean, std=statistics.std, values=np.array(statistics.count))
