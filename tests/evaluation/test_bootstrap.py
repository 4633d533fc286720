"""The interval over drawn test samples."""

import numpy as np
import pytest
from scipy import stats

from asc_mrkd.evaluation import cluster_bootstrap


def reference(differences, clusters, draws=4000) -> list[float]:
    """Put together the clips of drawn locations, one test set after another."""
    rng = np.random.default_rng(1)
    groups = [differences[clusters == name] for name in np.unique(clusters)]
    means = [
        np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))]).mean() for _ in range(draws)
    ]
    return np.quantile(means, [0.025, 0.975]).tolist()


def bounds(differences, clusters, **options) -> tuple[float, float]:
    interval = cluster_bootstrap(np.asarray(differences, dtype=float), np.asarray(clusters), **options).interval
    return interval.low, interval.high


def width(differences, clusters) -> float:
    low, high = bounds(differences, clusters)
    return high - low


def test_against_a_loop_over_drawn_test_sets():
    """Locations of one to twelve clips that lean one way together: the large ones for us, the small ones for them."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 13, size=30)
    clusters = np.repeat(np.arange(30), sizes)
    lean = (sizes - 6) / 12 + rng.normal(0, 0.2, 30)
    differences = np.repeat(lean, sizes) + rng.normal(0, 0.3, len(clusters))
    low, high = bounds(differences, clusters)
    assert [low, high] == pytest.approx(reference(differences, clusters), abs=0.015)
    assert high - low > 0.15
    means = [differences[clusters == name].mean() for name in range(30)]
    assert np.quantile(means, 0.5) != pytest.approx((low + high) / 2, abs=0.02), "the mean is one over clips"


def test_independent_samples_have_the_normal_interval():
    differences = np.random.default_rng(0).choice([-1, 0, 0, 0, 1, 1], size=900).astype(float)
    expected = stats.norm.interval(0.95, differences.mean(), stats.sem(differences))
    assert bounds(differences, np.arange(900)) == pytest.approx(expected, abs=0.003)


def test_equal_runs_have_an_interval_of_no_width_at_zero():
    assert bounds(np.zeros(40), np.arange(40) % 7) == (0, 0)


def test_swapped_runs_change_the_sign():
    rng = np.random.default_rng(0)
    differences, clusters = rng.normal(0.2, 1, 60), rng.integers(0, 15, 60)
    low, high = bounds(differences, clusters)
    assert bounds(-differences, clusters) == pytest.approx((-high, -low))
    assert low != pytest.approx(-high)


def test_alike_clips_of_a_location_count_once():
    """Twenty locations, five alike clips each: as sure as twenty clips, and not as sure as a hundred."""
    per_location = np.random.default_rng(0).normal(0.1, 1, 20)
    alike, clusters = np.repeat(per_location, 5), np.repeat(np.arange(20), 5)
    assert bounds(alike, clusters) == pytest.approx(bounds(per_location, np.arange(20)))
    ratio = width(alike, clusters) / width(alike, np.arange(100))
    assert ratio == pytest.approx(np.sqrt(5), rel=0.1)


def test_it_is_reproducible_and_says_what_was_drawn():
    rng = np.random.default_rng(0)
    differences, clusters = rng.normal(size=50), rng.integers(0, 9, 50)
    first = cluster_bootstrap(differences, clusters)
    assert first == cluster_bootstrap(differences, clusters)
    assert first.clusters == 9
    assert first.draws >= 2000
    order = rng.permutation(50)
    shuffled = cluster_bootstrap(differences[order], clusters[order])
    assert (shuffled.interval.low, shuffled.interval.high) == pytest.approx((first.interval.low, first.interval.high))


def test_one_location_says_nothing_about_others():
    assert cluster_bootstrap(np.array([0.0, 1.0]), np.array(["lyon-1", "lyon-1"])) is None
