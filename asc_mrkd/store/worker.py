"""The work of one process: recordings to rows of a store. Imports neither torch nor pandas, so that it starts fast."""

import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asc_mrkd.errors import AudioError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.store.statistics import RowMoments, row_moments


@dataclass(frozen=True)
class Job:
    """One clip to extract.

    Attributes:
        row: where its features go.
        path: the recording.
        crc32: of the row, if an earlier run has written it; a row that still has it is not made again.
    """

    row: int
    path: str
    crc32: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a clip: a row with its checksum and moments, or the reason why there is none."""

    row: int
    reason: str = ""
    crc32: int = 0
    moments: RowMoments | None = None


def extract_rows(jobs: Sequence[Job], frontend: Frontend, features: Path) -> list[Outcome]:
    """Write one row of the memory map `features` for every job that needs it.

    Raises:
        OSError: the row cannot be written (disk full).
    """
    outcomes: dict[int, Outcome] = {}
    samples: dict[int, np.ndarray] = {}
    with open(features, "r+b", buffering=0) as stream:
        rows = RowFile(stream.fileno(), features)
        for job in jobs:
            done = _written(job, rows)
            if done:
                outcomes[job.row] = done
                continue
            try:
                samples[job.row] = _read(job.path, frontend)
            except AudioError as error:
                outcomes[job.row] = Outcome(job.row, error.reason)
        for row, values in zip(samples, _transformed(list(samples.values()), frontend), strict=True):
            outcomes[row] = rows.write(row, values)
    return [outcomes[job.row] for job in jobs]


class RowFile:
    """Rows of an open memory map, read and written one by one: a full disk is an error here and no signal."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Take an open file and its path, from which the shape is read."""
        layout = np.load(path, mmap_mode="r", allow_pickle=False)
        self.descriptor, self.start = descriptor, layout.offset
        self.shape, self.dtype = layout.shape[1:], layout.dtype
        self.size = int(np.prod(self.shape)) * self.dtype.itemsize

    def read(self, row: int) -> np.ndarray:
        """Return one row (channel, mel, frame) as it is stored."""
        data = os.pread(self.descriptor, self.size, self.start + row * self.size)
        return np.frombuffer(data, self.dtype).reshape(self.shape)

    def write(self, row: int, values: np.ndarray) -> Outcome:
        """Round features (channel, mel, frame) to the stored type, write them and return the outcome."""
        rounded = values.astype(self.dtype)
        position, left = self.start + row * self.size, memoryview(rounded.tobytes())
        while left:
            count = os.pwrite(self.descriptor, left, position)
            position, left = position + count, left[count:]
        return outcome_of(row, rounded)


def outcome_of(row: int, values: np.ndarray) -> Outcome:
    """Return the outcome of a row as it is stored (channel, mel, frame)."""
    return Outcome(row, crc32=zlib.crc32(values.tobytes()), moments=row_moments(values))


def _transformed(samples: Sequence[np.ndarray], frontend: Frontend) -> Iterable[np.ndarray]:
    """Return the features of clips: in one batch by torch, which a GPU wants, else one by one, which a cache wants."""
    if frontend.backend == "torch" and samples:
        return frontend(np.stack(samples))
    return map(frontend, samples)


def _written(job: Job, rows: RowFile) -> Outcome | None:
    """Return the outcome of a row that an earlier run has written, if it is what was written."""
    if job.crc32 is None:
        return None
    outcome = outcome_of(job.row, rows.read(job.row))
    return outcome if outcome.crc32 == job.crc32 else None


def _read(path: str, frontend: Frontend) -> np.ndarray:
    """Return samples (channel, sample) of exactly the length of a clip: resampling may be a few samples off."""
    spec = frontend.spec
    samples = frontend.read(path, spec.clip_seconds, None if spec.resample else spec.sample_rate)
    missing = spec.samples - samples.shape[-1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, : spec.samples]
