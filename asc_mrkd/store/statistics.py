"""Mean and standard deviation per mel bin, merged row by row in one pass (Chan et al. 1979)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowMoments:
    """Moments of one row of a store, float64; channels and frames are pooled."""

    count: int
    """Number of values per mel bin."""
    mean: np.ndarray
    """Mean (mel,)."""
    squares: np.ndarray
    """Sum of squared deviations from the mean (mel,)."""


def row_moments(row: np.ndarray) -> RowMoments:
    """Return the moments of one stored row (channel, mel, frame)."""
    values = row.astype(np.float32)
    count = values.shape[0] * values.shape[2]
    near = values.mean(axis=2).mean(axis=0)  # deviations from about the mean lose no digits in float32
    values -= near[:, None]
    rest = values.sum(axis=2).sum(axis=0, dtype=np.float64)
    np.square(values, out=values)
    squares = values.sum(axis=2).sum(axis=0, dtype=np.float64) - rest**2 / count
    return RowMoments(count, near + rest / count, squares)


class RunningStatistics:
    """Statistics of all rows added so far; the memory does not grow with their number."""

    def __init__(self, n_mels: int) -> None:
        self.count = 0
        self.mean = np.zeros(n_mels)
        self.squares = np.zeros(n_mels)

    def add(self, row: RowMoments) -> None:
        """Merge one more row; the order of the rows decides the last bits."""
        total = self.count + row.count
        step = row.mean - self.mean
        self.squares += row.squares + step**2 * (self.count * row.count / total)
        self.mean += step * (row.count / total)
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """Unbiased standard deviation (mel,)."""
        return np.sqrt(self.squares / max(self.count - 1, 1))
