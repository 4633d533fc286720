"""The work of one extraction process: recordings to rows of a store.

Imports neither torch nor pandas, so that a worker starts fast.
"""

import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asc_mrkd.audio.read import audio_error
from asc_mrkd.audio.reasons import RefusalError
from asc_mrkd.errors import AudioError
from asc_mrkd.features.frontend import Frontend, pad_or_trim
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.store.statistics import RowMoments, row_moments

CLIPS_PER_TASK = {"numpy": 4, "torch": 16}
"""Clips that a worker holds at once, by back end; on a GPU they are one batch."""

SECONDS_OF_ROUNDING = 0.002
"""Largest part of a clip (s) that may be missing because times and samples were rounded."""


@dataclass(frozen=True)
class ClipJob:
    """One clip to extract."""

    row: int
    """Row of the store that receives its features."""
    path: str
    """Path of the recording."""
    crc32: int | None = None
    """Checksum of the row if an earlier run has written it; a row that still has it is kept."""
    start: float | None = None
    """Start (s) of the clip in the recording; None if the whole recording is the clip and must have its length."""
    end: float = 0.0
    """End (s) of the clip in the recording."""
    short: str = ""
    """Treatment of a recording that ends before the clip does: `repeat`, `pad` or `refuse`; "" if it does not."""


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
    results: list[RowResult] = []
    reader = _ClipReader(frontend)
    size = CLIPS_PER_TASK[frontend.backend]
    with open(features, "r+b", buffering=0) as stream:
        rows = RowFile(stream, features)
        for first in range(0, len(jobs), size):
            results += _extract_batch(jobs[first : first + size], reader, rows)
    return results


def _extract_batch(jobs: Sequence[ClipJob], reader: "_ClipReader", rows: "RowFile") -> list[RowResult]:
    results: dict[int, RowResult] = {}
    samples: dict[int, np.ndarray] = {}
    for job in jobs:
        kept = _kept_row(job, rows)
        if kept:
            results[job.row] = kept
            continue
        try:
            samples[job.row] = reader.read(job)
        except AudioError as error:
            results[job.row] = RowResult(job.row, error.reason)
    for row, values in zip(samples, _compute_features(list(samples.values()), reader.frontend), strict=True):
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


class _ClipReader:
    """Reads clips, and each recording with several clips only once if they follow each other."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self._path = ""
        self._recording = np.empty((0, 0), np.float32)

    def read(self, job: ClipJob) -> np.ndarray:
        """Return samples (channel, sample) of exactly the length of a clip; resampling may be a few samples off.

        Raises:
            AudioError: the recording cannot be used, or does not have the length that it should have.
        """
        spec = self.frontend.spec
        expected_rate = None if spec.resample else spec.sample_rate
        if job.start is None:
            samples = self.frontend.read(job.path, spec.clip_seconds, expected_rate)
            return pad_or_trim(samples, spec.samples)
        if job.path != self._path:
            self._recording = self.frontend.read(job.path, expected_rate=expected_rate)
            self._path = job.path
        return _cut_clip(self._recording, job, spec)


def _cut_clip(recording: np.ndarray, job: ClipJob, spec: FrontendSpec) -> np.ndarray:
    """Return the clip of a job (channel, sample) from all samples of its recording."""
    first = round((job.start or 0.0) * spec.sample_rate)
    stop = first + spec.samples
    if job.short:
        stop = min(stop, round(job.end * spec.sample_rate))
    clip = recording[:, first:stop]
    missing = spec.samples - clip.shape[1]
    if missing <= SECONDS_OF_ROUNDING * spec.sample_rate or (job.short == "pad" and clip.size):
        return pad_or_trim(clip, spec.samples)
    if job.short == "repeat" and clip.size:
        return np.take(clip, np.arange(spec.samples), axis=1, mode="wrap")
    found = f"{clip.shape[1] / spec.sample_rate:g} s instead of {spec.clip_seconds:g} s"
    raise audio_error(job.path, RefusalError("wrong_length" if job.short else "truncated", found))
