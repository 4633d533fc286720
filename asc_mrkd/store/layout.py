"""The feature store: one memory map of spectrograms, its table of clips, its specification and its statistics."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.errors import StoreError, first_line
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.schema import differing_key, parse, read_yaml
from asc_mrkd.store.statistics import RunningStatistics

FEATURES, CLIPS, SPEC, STATS = "features.npy", "clips.csv", "spec.yaml", "stats.npz"
COLUMNS = ["row", *CLIP_COLUMNS, "split", "frames", "status", "reason", "crc32"]
TYPES = {name: int if name in ("row", "frames", "crc32") else str for name in COLUMNS}
PENDING, OK, BAD = "pending", "ok", "bad"


@dataclass(frozen=True)
class FeatureStore:
    """An opened store.

    Attributes:
        folder: where it is.
        spec: the front end it was made with.
        clips: a row a clip (see COLUMNS); `status` is ok, bad or pending, `crc32` that of the stored row.
        features: memory map (row, channel, mel, frame), float16, read-only.
    """

    folder: Path
    spec: FrontendSpec
    clips: pd.DataFrame
    features: np.ndarray

    @property
    def is_finished(self) -> bool:
        """Whether every clip has been tried and the statistics are there."""
        return not (self.clips["status"] == PENDING).any() and (self.folder / STATS).exists()

    @property
    def classes(self) -> list[str]:
        """Class names in alphabetical order; the position is the class index."""
        return sorted(set(self.clips["label"]) - {""})

    def rows(self, split: str) -> pd.DataFrame:
        """Return the usable clips of a split (train, test, unused)."""
        return self.clips[(self.clips["split"] == split) & (self.clips["status"] == OK)]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the training rows, a value a mel bin (mel,), float32."""
        try:
            with np.load(self.folder / STATS) as arrays:
                return arrays["mean"].astype(np.float32), arrays["std"].astype(np.float32)
        except (OSError, KeyError, ValueError):
            raise StoreError(
                f"{self.folder}: {STATS} is missing or damaged", "run the same extract-features command again"
            ) from None


def is_store(folder: Path) -> bool:
    """Tell a feature store, finished or not, from a data set."""
    return not _missing_parts(folder)


def open_store(folder: str | os.PathLike[str]) -> FeatureStore:
    """Open a finished store.

    Raises:
        StoreError: no store there, or its extraction has not finished.
    """
    folder = Path(folder)
    store = _read(folder)
    if not store.is_finished:
        pending = (store.clips["status"] == PENDING).sum()
        raise StoreError(
            f"{folder}: extraction has not finished, {pending} clips are missing",
            "run the same extract-features command again; it continues",
        )
    return store


def _missing_parts(folder: Path) -> list[str]:
    return [name for name in (SPEC, CLIPS, FEATURES) if not (folder / name).exists()]


def _read(folder: Path) -> FeatureStore:
    if missing := _missing_parts(folder):
        hint = "make one: asc-mrkd extract-features --data DIR --spec pmel256 --out STORE"
        raise StoreError(f"{folder} is not a feature store: {missing[0]} is missing", hint)
    spec = parse(FrontendSpec, read_yaml(folder / SPEC), str(folder / SPEC))
    clips = _read_table(folder / CLIPS)
    try:
        features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / FEATURES} is damaged: {error}", "remove the store and extract again") from None
    if features.shape != (len(clips), *spec.shape):
        raise StoreError(f"{folder}: {FEATURES} and {CLIPS} do not belong together", "remove the store, extract again")
    return FeatureStore(folder, spec, clips, features)


def _read_table(path: Path) -> pd.DataFrame:
    again = "remove the store and extract again"
    try:
        clips = pd.read_csv(path, keep_default_na=False, dtype=TYPES)
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {first_line(error)}", again) from None
    for column in COLUMNS:
        if column not in clips:
            raise StoreError(f"{path} has no column {column}: another version of asc_mrkd made it", again)
    return clips


def create_or_continue(folder: Path, clips: pd.DataFrame, spec: FrontendSpec) -> FeatureStore:
    """Make an empty store for `clips`, or open the one that is there if it was made for the same clips and spec.

    Raises:
        StoreError: the store there was made with another spec (the differing key is named) or from another list; the
            disk has too little space for what is missing.
    """
    if not (folder / CLIPS).exists():
        _create(folder, clips, spec)
    store = _read(folder)
    difference = differing_key(store.spec, spec)
    if difference:
        raise StoreError(
            f"{folder} was made with another spec: {difference.replace(' here', ' in the store')}",
            "choose another --out",
        )
    keys = ["filename", "label", "split"]
    if store.clips[keys].values.tolist() != clips[keys].values.tolist():
        raise StoreError(f"{folder} was made from another list of clips", "choose another --out")
    return store


def _create(folder: Path, clips: pd.DataFrame, spec: FrontendSpec) -> None:
    """Write an empty store; its memory map takes no space before its rows are written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / SPEC, yaml.safe_dump(spec.model_dump(), sort_keys=False))
    shape = (len(clips), *spec.shape)
    np.lib.format.open_memmap(folder / FEATURES, mode="w+", dtype=np.float16, shape=shape).flush()
    table = clips.assign(row=range(len(clips)), frames=0, status=PENDING, reason="", crc32=0)
    write_table(folder, table[COLUMNS])


def check_space(store: FeatureStore) -> None:
    """Compare what the unwritten rows need with what is free.

    Raises:
        OSError: ENOSPC, as if the disk were full already.
    """
    if _missing_space(store):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_disk_explained(store: FeatureStore) -> Iterator[None]:
    """Turn a full disk into a StoreError that says how many bytes are missing."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"{store.folder}: the disk is full, {_missing_space(store):,} bytes are missing",
            "free so much, or choose another --out; the same command continues",
        ) from None


def _missing_space(store: FeatureStore) -> int:
    """Return how many bytes the disk lacks for the rows that are not written yet; 0 when they fit."""
    file = (store.folder / FEATURES).stat()
    return max(0, file.st_size - file.st_blocks * 512 - shutil.disk_usage(store.folder).free)


def finish(store: FeatureStore, clips: pd.DataFrame, statistics: RunningStatistics) -> None:
    """Write the statistics and the table `clips` of a store whose rows are all written."""
    with open(store.folder / FEATURES, "rb") as features:
        os.fsync(features.fileno())
    write_statistics(store.folder, statistics)
    write_table(store.folder, clips)


def write_table(folder: Path, clips: pd.DataFrame) -> None:
    """Write the table of clips, whole or not at all."""
    with atomic_writer(folder / CLIPS, "w") as stream:
        clips.to_csv(stream, index=False, lineterminator="\n")


def write_statistics(folder: Path, statistics: RunningStatistics) -> None:
    """Write mean and unbiased standard deviation of the training rows, a value a mel bin."""
    with atomic_writer(folder / STATS) as stream:
        np.savez(stream, mean=statistics.mean, std=statistics.std, values=np.array(statistics.count))
