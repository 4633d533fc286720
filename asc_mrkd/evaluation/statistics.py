"""Statistics over seeds: mean, standard deviation, and t-tests between two runs with interval and effect size.

The seeds of a run are a sample of all trainings that were possible, so these figures describe the training. The
uncertainty that a small test set adds is the subject of `asc_mrkd.evaluation.bootstrap`.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

MINIMUM_SEEDS = 4
"""Below this number of seeds nothing is concluded from a difference between two runs."""

SIGNIFICANCE = 0.05
"""Level below which a difference over enough seeds is called significant; the intervals hold the rest, 95 %."""

NO_SPREAD = 1e-9
"""Accuracies that differ by less are equal: one sample of a billion, or the rounding of a subtraction."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of some values."""

    mean: float
    """Arithmetic mean."""
    std: float | None
    """Sample standard deviation, n - 1 in the denominator; None for a single value."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """A confidence interval at the level 1 - SIGNIFICANCE."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def __neg__(self) -> "ConfidenceInterval":
        """Return the interval of the difference taken the other way round.

        >>> -ConfidenceInterval(-1.0, 3.0)
        ConfidenceInterval(low=-3.0, high=1.0)
        """
        return ConfidenceInterval(-self.high, -self.low)


@dataclass(frozen=True)
class MeanTest:
    """Two-sided t-test of equal means; a figure that these seeds do not allow is None."""

    paired: bool
    """Whether the runs were compared seed by seed."""
    seeds: tuple[int, ...]
    """The seeds of the pairs; empty when the test is not paired."""
    difference: float
    """Mean of ours minus mean of theirs."""
    interval: ConfidenceInterval | None = None
    """Interval of the difference at the level 1 - SIGNIFICANCE."""
    p_value: float | None = None
    """Probability of a difference at least as large between equal means."""
    effect_size: float | None = None
    """Hedges' g, or Cohen's d_z of a paired test: the difference in standard deviations over the seeds."""
    warning: str = ""
    """Reason to draw no conclusion; empty if there is none."""

    @property
    def one_minus_p(self) -> float | None:
        """1 - p, in the paper the level of confidence of rejection; not the probability that the means differ."""
        return None if self.p_value is None else 1 - self.p_value

    @property
    def name(self) -> str:
        """Name of the test."""
        return "paired t-test" if self.paired else "Welch's t-test"

    @property
    def effect_name(self) -> str:
        """Name of the effect size."""
        return "Cohen's d_z" if self.paired else "Hedges' g"


def mean_std(values: Iterable[float]) -> Spread:
    """Return mean and sample standard deviation over seeds.

    >>> mean_std([2.0, 4.0, 6.0])
    Spread(mean=4.0, std=2.0)
    """
    numbers = np.fromiter(values, dtype=np.float64)
    return Spread(float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else None)


def welch_test(ours: Iterable[float], theirs: Iterable[float]) -> MeanTest:
    """Compare the per-seed values of two runs without assuming equal variances (B. L. Welch, Biometrika 34, 1947).

    The interval is that of the same test, with Satterthwaite's degrees of freedom; the effect size is Hedges' g.

    >>> test = welch_test([4.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0])
    >>> test.difference, round(test.p_value, 4), round(test.effect_size, 2)
    (3.0, 0.0167, 2.02)
    """
    a = np.fromiter(ours, dtype=np.float64)
    b = np.fromiter(theirs, dtype=np.float64)
    difference = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return MeanTest(False, (), difference, warning="a single seed: no test possible")
    if _is_steady(a) and _is_steady(b):
        return MeanTest(False, (), difference, warning="no spread between seeds: no test possible")
    from scipy import stats  # only now: it takes most of a second to import

    too_few = min(len(a), len(b)) < MINIMUM_SEEDS
    with warnings.catch_warnings():
        # scipy warns of a run without spread; the test of the other run against its value is still valid.
        warnings.simplefilter("ignore", RuntimeWarning)
        result = stats.ttest_ind(a, b, equal_var=False)
    return MeanTest(
        paired=False,
        seeds=(),
        difference=difference,
        interval=_confidence_interval(result),
        p_value=float(result.pvalue),
        effect_size=hedges_g(a, b),
        warning="fewer than four seeds: no conclusion" if too_few else "",
    )


def paired_test(ours: pd.Series, theirs: pd.Series) -> MeanTest:
    """Compare two runs seed by seed, over the seeds that both have; the values are indexed by seed.

    A seed fixes the first weights and the order of the batches. Where it is good or bad for both runs, this test finds
    smaller differences than Welch's. The effect size is Cohen's d_z: mean divided by standard deviation of the
    differences of the pairs. With fewer than two pairs no test is possible, and the difference is that of all seeds.

    >>> test = paired_test(pd.Series([5.0, 7.0, 9.0], index=[0, 1, 2]), pd.Series([6.0, 4.0, 7.0], index=[1, 0, 3]))
    >>> test.seeds, test.difference, test.interval, test.warning
    ((0, 1), 1.0, None, 'no spread between the pairs of seeds: no test possible')
    """
    common = ours.index.intersection(theirs.index).sort_values()
    seeds = tuple(int(seed) for seed in common)
    if len(seeds) < 2:
        common_seeds = "only one common seed" if seeds else "no common seed"
        difference = float(ours.mean() - theirs.mean())
        return MeanTest(True, seeds, difference, warning=f"{common_seeds}: no paired test possible")
    a = ours.loc[common].to_numpy(dtype=np.float64)
    b = theirs.loc[common].to_numpy(dtype=np.float64)
    difference = float(a.mean() - b.mean())  # as without pairs, to the last bit
    pairs = a - b
    if _is_steady(pairs):
        warning = "no spread between the pairs of seeds: no test possible"
        return MeanTest(True, seeds, difference, warning=warning)
    from scipy import stats  # only now, as above

    result = stats.ttest_rel(a, b)
    return MeanTest(
        paired=True,
        seeds=seeds,
        difference=difference,
        interval=_confidence_interval(result),
        p_value=float(result.pvalue),
        effect_size=float(pairs.mean() / pairs.std(ddof=1)),
        warning="fewer than four common seeds: no conclusion" if len(seeds) < MINIMUM_SEEDS else "",
    )


def hedges_g(a: np.ndarray, b: np.ndarray) -> float:
    """Return the difference of two means in pooled standard deviations, without the bias of small samples.

    L. V. Hedges, Distribution theory for Glass's estimator of effect size, J. Educ. Stat. 6, 1981. The correction is
    the exact one, gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)) with m degrees of freedom, about 1 - 3 / (4 m - 1).

    >>> round(hedges_g(np.array([4.0, 5.0, 6.0, 7.0]), np.array([1.0, 2.0, 3.0, 4.0])), 4)
    2.0185
    """
    freedom = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom)
    correction = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return float(correction * (a.mean() - b.mean()) / pooled)


def _is_steady(values: np.ndarray) -> bool:
    return bool(np.ptp(values) < NO_SPREAD)


def _confidence_interval(result: Any) -> ConfidenceInterval:
    low, high = result.confidence_interval(1 - SIGNIFICANCE)
    return ConfidenceInterval(float(low), float(high))
