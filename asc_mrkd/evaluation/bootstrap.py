"""Uncertainty that comes from a small test set: a paired cluster bootstrap of the difference between two runs.

The spread over seeds describes the training, on a fixed test set. The bootstrap describes the test set: it estimates
how a difference would vary over other samples of the same kind. Clips of one recording location, or of one group of own
recordings, sound alike and are not independent, so whole locations are drawn (A. C. Davison, D. V. Hinkley, Bootstrap
Methods and their Application, 1997, section 3.8). Both runs are scored on the same draws, so a sample that is hard for
both does not widen the interval. With few clusters a percentile interval is too narrow: a lower bound of the
uncertainty.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_mrkd.evaluation.statistics import SIGNIFICANCE, ConfidenceInterval
from asc_mrkd.rng import generator

SMALL_TEST_SET = 2000
"""Number of independent samples (locations, images) below which the bootstrap is computed.

An accuracy of 50 % over 2,000 samples is good to about two percentage points, and a difference between two runs on
the same samples to less. Locations count, not clips: 2,518 clips of 100 locations are a small test set.
"""

FEW_CLUSTERS = 20
"""Number of clusters below which the interval is said to be too narrow."""

DRAWS = 5000
"""Resampled test sets behind an interval."""

DRAWS_IN_MEMORY = 1000
"""Draws that are held in memory together: 16 MB per array with 2,000 clusters."""


@dataclass(frozen=True)
class Bootstrap:
    """Distribution of a difference over other test samples of the same kind, with the trained networks as they are."""

    interval: ConfidenceInterval
    """Percentile interval of the difference at the level 1 - SIGNIFICANCE."""
    clusters: int
    """Number of clusters that were drawn from: locations, groups of own recordings, or the samples themselves."""
    draws: int
    """Number of resampled test sets."""


def cluster_bootstrap(differences: np.ndarray, clusters: np.ndarray, draws: int = DRAWS) -> Bootstrap | None:
    """Draw clusters with replacement, with all their samples, and return the interval of the mean difference.

    Args:
        differences: (sample,) score of one run minus that of the other, each averaged over its seeds.
        clusters: (sample,) name of the cluster of every sample.
        draws: number of resampled test sets; they are the same for every two runs.

    Returns:
        The interval, or None if there is only one cluster.

    >>> cluster_bootstrap(np.array([1.0, 1.0, 1.0, 1.0]), np.array(["lyon-1", "lyon-1", "lyon-2", "oslo-3"]))
    Bootstrap(interval=ConfidenceInterval(low=1.0, high=1.0), clusters=3, draws=5000)
    """
    by_cluster = pd.Series(differences).groupby(np.asarray(clusters)).agg(["sum", "size"])
    if len(by_cluster) < 2:
        return None
    from scipy import stats  # only now: it takes most of a second to import

    result = stats.bootstrap(
        (by_cluster["sum"].to_numpy(), by_cluster["size"].to_numpy()),
        # Locations have different numbers of clips, so the sum of a draw is divided by its own number of clips.
        lambda total, size, axis: total.sum(axis=axis) / size.sum(axis=axis),
        n_resamples=draws,
        batch=DRAWS_IN_MEMORY,
        vectorized=True,
        paired=True,
        confidence_level=1 - SIGNIFICANCE,
        method="percentile",
        random_state=generator("bootstrap"),
    )
    low, high = result.confidence_interval
    return Bootstrap(ConfidenceInterval(float(low), float(high)), len(by_cluster), draws)
