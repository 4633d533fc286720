"""Mean and standard deviation a mel bin, merged row by row in one pass (Chan et al. 1979)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowMoments:
    """What one row adds: values a mel bin, their mean (mel,) and sum of squared deviations (mel,), float64."""

    count: int
    mean: np.ndarray
    squares: np.ndarray


def row_moments(row: np.ndarray) -> RowMoments:
    """Return the moments of one stored row (channel, mel, frame); channels and frames are pooled."""
    values = row.astype(np.float32)
    count = values.shape[0] * values.shape[2]
    near = values.mean(axis=2).mean(axis=0)  # deviations from about the mean lose no digits in float32
    values -= near[:, None]
    rest = values.sum(axis=2).sum(axis=0, dtype=np.float64)
    np.square(values, out=values)
    squares = values.sum(axis=2).sum(axis=0, dtype=np.float64) - rest**2 / count
    return RowMoments(count, near + rest / count, squares)


class RunningStatistics:
    """Statistics of all rows added so far; the memory does not grow with them."""

    def __init__(self, n_mels: int) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(n_mels), np.zeros(n_mels)

    def add(self, row: RowMoments) -> None:
        """Merge one more row; the order decides the last bits."""
        total = self.count + row.count
        step = row.mean - self.mean
        self.squares += row.squares + step**2 * (self.count * row.count / total)
        self.mean += step * (row.count / total)
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """Unbiased standard deviation (mel,)."""
        return np.sqrt(self.squares / max(self.count - 1, 1))
