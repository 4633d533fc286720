"""The work of one extraction process: recordings to rows of a store.

Imports neither torch nor pandas, so that a worker starts fast.
"""

import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asc_mrkd.errors import AudioError
from asc_mrkd.features.frontend import Frontend, pad_or_trim
from asc_mrkd.store.statistics import RowMoments, row_moments


@dataclass(frozen=True)
class ClipJob:
    """One clip to extract."""

    row: int
    """Row of the store that receives its features."""
    path: str
    """Path of the recording."""
    crc32: int | None = None
    """Checksum of the row if an earlier run has written it; a row that still has it is kept."""


@dataclass(frozen=True)
class RowResult:
    """Result of one clip: the checksum and the moments of its row, or the reason why the row is empty."""

    row: int
    reason: str = ""
    """Reason code of the AudioError; empty for a usable clip."""
    crc32: int = 0
    moments: RowMoments | None = None


def extract_rows(jobs: Sequence[ClipJob], frontend: Frontend, features: Path) -> list[RowResult]:
    """Write one row of the memory map `features` for every job whose row is missing or damaged.

    Raises:
        OSError: the row cannot be written (disk full).
    """
    results: dict[int, RowResult] = {}
    samples: dict[int, np.ndarray] = {}
    with open(features, "r+b", buffering=0) as stream:
        rows = RowFile(stream, features)
        for job in jobs:
            kept = _kept_row(job, rows)
            if kept:
                results[job.row] = kept
                continue
            try:
                samples[job.row] = _read_clip(job.path, frontend)
            except AudioError as error:
                results[job.row] = RowResult(job.row, error.reason)
        for row, values in zip(samples, _compute_features(list(samples.values()), frontend), strict=True):
            results[row] = rows.write(row, values)
    return [results[job.row] for job in jobs]


class RowFile:
    """Rows of an open memory map, read and written one by one: a full disk raises an error, not a signal."""

    def __init__(self, stream: io.FileIO, path: Path) -> None:
        """Take an open file without a buffer and its path, which gives the shape of a row."""
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.stream = stream
        self.start = array.offset
        self.shape = array.shape[1:]
        self.dtype = array.dtype
        self.size = int(np.prod(self.shape)) * self.dtype.itemsize

    def read(self, row: int) -> np.ndarray:
        """Return one row (channel, mel, frame) as stored."""
        self.stream.seek(self.start + row * self.size)
        data = self.stream.read(self.size)
        return np.frombuffer(data, self.dtype).reshape(self.shape)

    def write(self, row: int, values: np.ndarray) -> RowResult:
        """Round features (channel, mel, frame) to the stored type, write them and return the result."""
        rounded = values.astype(self.dtype)
        self.stream.seek(self.start + row * self.size)
        rest = memoryview(rounded.tobytes())
        while rest:
            rest = rest[self.stream.write(rest) :]
        return summarise_row(row, rounded)


def summarise_row(row: int, values: np.ndarray) -> RowResult:
    """Return checksum and moments of a row as stored (channel, mel, frame)."""
    return RowResult(row, crc32=zlib.crc32(values.tobytes()), moments=row_moments(values))


def _compute_features(samples: Sequence[np.ndarray], frontend: Frontend) -> Iterable[np.ndarray]:
    """Return the features of clips: as one batch by torch, for the GPU, else one by one, for the cache."""
    if frontend.backend == "torch" and samples:
        return frontend(np.stack(samples))
    return map(frontend, samples)


def _kept_row(job: ClipJob, rows: RowFile) -> RowResult | None:
    """Return the result of a row that an earlier run has written, or None if it is missing or damaged."""
    if job.crc32 is None:
        return None
    result = summarise_row(job.row, rows.read(job.row))
    return result if result.crc32 == job.crc32 else None


def _read_clip(path: str, frontend: Frontend) -> np.ndarray:
    """Return samples (channel, sample) of exactly the length of a clip; resampling may be a few samples off."""
    spec = frontend.spec
    expected_rate = None if spec.resample else spec.sample_rate
    return pad_or_trim(frontend.read(path, spec.clip_seconds, expected_rate), spec.samples)
