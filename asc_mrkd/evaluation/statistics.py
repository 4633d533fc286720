"""Statistics over seeds: mean, standard deviation, and Welch's t-test between two runs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

MINIMUM_SEEDS = 4
"""Below this number of seeds nothing is concluded from a difference between two runs."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1 in the denominator; None of a single value)."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class WelchTest:
    """Two-sided test of equal means that does not assume equal variances."""

    difference: float
    """Mean of ours minus mean of theirs."""
    p_value: float | None
    """None where the test cannot be done."""
    warning: str
    """Why nothing should be concluded; empty when there is no reason."""

    @property
    def confidence(self) -> float | None:
        """Level at which equal means are rejected, 1 - p."""
        return None if self.p_value is None else 1 - self.p_value


def mean_std(values: Iterable[float]) -> Spread:
    """Mean and sample standard deviation over seeds.

    >>> mean_std([2.0, 4.0, 6.0])
    Spread(mean=4.0, std=2.0)
    """
    numbers = np.fromiter(values, dtype=np.float64)
    return Spread(float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else None)


def welch_test(ours: Iterable[float], theirs: Iterable[float]) -> WelchTest:
    """Compare the per-seed values of two runs (B. L. Welch, Biometrika 34, 1947)."""
    a, b = np.fromiter(ours, dtype=np.float64), np.fromiter(theirs, dtype=np.float64)
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return WelchTest(difference, None, "a single seed: no test possible")
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return WelchTest(difference, None, "no spread between seeds: no test possible")
    p_value = float(stats.ttest_ind(a, b, equal_var=False).pvalue)
    too_few = min(len(a), len(b)) < MINIMUM_SEEDS
    return WelchTest(difference, p_value, "fewer than four seeds: no conclusion" if too_few else "")
