"""How far a small test set carries: a paired cluster bootstrap of the difference between two runs.

The seeds say how steady training is, on these samples. The bootstrap says what a difference is worth on other samples
of the same kind. The clips of one recording location sound alike, so they are no independent samples: whole locations
are drawn (A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). The runs are
scored on the same draws, so a sample that is hard for both does not widen the interval. Of few clusters (some twenty or
fewer) a percentile interval is too narrow; it then is a lower bound of the doubt.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from asc_mrkd.evaluation.statistics import SIGNIFICANCE, Interval
from asc_mrkd.rng import generator

SMALL_TEST_SET = 2000
"""Independent samples (locations, images) from which on the test set is taken as it is.

An accuracy of 50 % over 2,000 of them is good to about two percentage points, and a difference between two runs on
the same samples to less. It counts locations, not clips: 2,518 clips of 100 locations are a small test set.
"""

DRAWS = 5000
"""Resampled test sets behind an interval."""

BATCH = 1000
"""Draws that are held in memory together: 2,000 clusters take 16 MB an array."""


@dataclass(frozen=True)
class Bootstrap:
    """What other test samples of the same kind would make of a difference, with the trained networks as they are."""

    interval: Interval
    """Percentile interval of the difference at the level 1 - SIGNIFICANCE."""
    clusters: int
    """What was drawn: locations, or the samples themselves."""
    draws: int


def cluster_bootstrap(differences: np.ndarray, clusters: np.ndarray, draws: int = DRAWS) -> Bootstrap | None:
    """Draw clusters with replacement, all samples of each; return where the mean difference of the samples lies.

    Args:
        differences: (samples,) score of one run minus that of the other, each averaged over its seeds.
        clusters: (samples,) name of the cluster of every sample.
        draws: how many test sets are drawn. The draws are the same for every two runs.

    Returns:
        None where there is only one cluster.

    >>> cluster_bootstrap(np.array([1.0, 1.0, 1.0, 1.0]), np.array(["lyon-1", "lyon-1", "lyon-2", "oslo-3"]))
    Bootstrap(interval=Interval(low=1.0, high=1.0), clusters=3, draws=5000)
    """
    sums = pd.Series(differences).groupby(np.asarray(clusters)).agg(["sum", "size"])
    if len(sums) < 2:
        return None
    result = stats.bootstrap(
        (sums["sum"].to_numpy(), sums["size"].to_numpy()),
        # Locations have different numbers of clips, so a draw is divided by the clips that it holds.
        lambda total, size, axis: total.sum(axis=axis) / size.sum(axis=axis),
        n_resamples=draws,
        batch=BATCH,
        vectorized=True,
        paired=True,
        confidence_level=1 - SIGNIFICANCE,
        method="percentile",
        random_state=generator("bootstrap"),
    )
    low, high = result.confidence_interval
    return Bootstrap(Interval(float(low), float(high)), len(sums), draws)
