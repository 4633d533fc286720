"""Statistics over seeds, against scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from asc_mrkd.evaluation import ConfidenceInterval, hedges_g, mean_std, paired_test, welch_test

OURS = [0.781, 0.785, 0.779, 0.790]
THEIRS = [0.770, 0.772, 0.765, 0.775, 0.769]

# Student's sleep data (Biometrika 6, 1908): hours gained by ten patients with two drugs.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_mean_and_sample_standard_deviation():
    spread = mean_std([1.0, 2.0, 4.0])
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.std == pytest.approx(math.sqrt(7 / 3))
    assert mean_std([0.5]).std is None


def test_welch_against_its_formula():
    def moments(values):
        mean = sum(values) / len(values)
        return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)

    (mean_a, a), (mean_b, b) = moments(OURS), moments(THEIRS)
    t = (mean_a - mean_b) / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / 3 + b**2 / 4)
    p_value = special.betainc(freedom / 2, 0.5, freedom / (freedom + t**2))

    test = welch_test(OURS, THEIRS)
    assert test.difference == pytest.approx(mean_a - mean_b)
    assert test.p_value == pytest.approx(p_value, rel=1e-9)
    assert test.p_value == pytest.approx(stats.ttest_ind(THEIRS, OURS, equal_var=False).pvalue, rel=1e-9)
    assert test.one_minus_p == pytest.approx(1 - p_value)
    assert test.warning == ""


def test_welch_is_not_the_test_with_pooled_variance():
    wide = [0.70, 0.80, 0.75, 0.85]
    pooled = stats.ttest_ind(wide, THEIRS, equal_var=True).pvalue
    assert abs(welch_test(wide, THEIRS).p_value - pooled) > 0.01


def test_f1_10_both_tests_have_the_same_difference_to_the_last_bit():
    rng = np.random.default_rng(0)
    for _ in range(50):
        ours, theirs = pd.Series(rng.random(5)), pd.Series(rng.random(5))
        assert paired_test(ours, theirs).difference == welch_test(ours, theirs).difference


def test_few_seeds_are_warned_about():
    assert "fewer than four seeds" in welch_test(OURS[:3], THEIRS).warning
    assert "fewer than four seeds" in welch_test(OURS, THEIRS[:2]).warning
    single = welch_test(OURS[:1], THEIRS)
    assert single.p_value is None
    assert single.one_minus_p is None
    assert "single seed" in single.warning


def test_identical_seeds_have_no_p_value():
    test = welch_test([0.5, 0.5], [0.25, 0.25])
    assert test.difference == 0.25
    assert test.p_value is None
    assert "no spread" in test.warning


@pytest.mark.filterwarnings("error")
def test_one_run_without_spread_is_tested_in_silence():
    """The test of one sample against a value; scipy would warn of lost precision."""
    test = welch_test(OURS, [0.775] * 4)
    assert test.p_value == pytest.approx(stats.ttest_1samp(OURS, 0.775).pvalue)


def bounds(interval: ConfidenceInterval) -> tuple[float, float]:
    return interval.low, interval.high


def test_welch_on_the_sleep_data():
    """Figures that R prints for t.test(extra ~ group, data = sleep)."""
    test = welch_test(DRUG_1, DRUG_2)
    assert test.p_value == pytest.approx(0.07939, abs=5e-6)
    assert bounds(test.interval) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert (test.paired, test.seeds, test.effect_name) == (False, (), "Hedges' g")


def test_pairs_on_the_sleep_data():
    """Figures that R prints for the paired t-test; it finds the difference that Welch's does not."""
    test = paired_test(pd.Series(DRUG_1), pd.Series(DRUG_2))
    assert test.p_value == pytest.approx(0.002833, abs=5e-7)
    assert test.difference == pytest.approx(-1.58)
    assert bounds(test.interval) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)
    assert test.effect_size == pytest.approx(-4.0621 / math.sqrt(10), abs=5e-5)
    assert (test.paired, test.seeds, test.effect_name) == (True, tuple(range(10)), "Cohen's d_z")
    assert test.warning == ""


@pytest.mark.parametrize(("size", "correction"), [(2, 0.5642), (3, 0.7979), (4, 0.8686), (6, 0.9228)])
def test_hedges_g_has_the_tabled_correction(size, correction):
    """Two samples of that size with a standard deviation of one: 2 (size - 1) degrees of freedom."""
    values = np.arange(size, dtype=float)
    values = (values - values.mean()) / values.std(ddof=1)
    assert hedges_g(values + 3, values + 1) == pytest.approx(2 * correction, abs=1.5e-4)


def test_hedges_g_weighs_the_variances_by_their_degrees_of_freedom():
    a, b = np.array([0.0, 2.0]), np.array([10.0, 10.0, 16.0])  # variances 2 and 12
    approximate = (1 - 3 / 11) * (1 - 12) / math.sqrt((1 * 2 + 2 * 12) / 3)
    assert hedges_g(a, b) == pytest.approx(approximate, rel=0.01)
    assert welch_test(a, b).effect_size == hedges_g(a, b) == -hedges_g(b, a)


@pytest.mark.slow
def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        interval = welch_test(rng.normal(1, 1, 5), rng.normal(0, 3, 8)).interval
        held.append(interval.low <= 1 <= interval.high)
    assert 0.93 < np.mean(held) < 0.97


def test_swapped_runs_change_the_sign():
    for test, swapped in [
        (welch_test(OURS, THEIRS), welch_test(THEIRS, OURS)),
        (paired_test(pd.Series(OURS), pd.Series(THEIRS)), paired_test(pd.Series(THEIRS), pd.Series(OURS))),
    ]:
        assert swapped.difference == -test.difference != 0
        assert swapped.effect_size == pytest.approx(-test.effect_size)
        assert bounds(swapped.interval) == pytest.approx(bounds(-test.interval))
        assert swapped.p_value == pytest.approx(test.p_value)


def test_pairs_are_made_by_seed_and_not_by_place():
    ours = pd.Series([0.9, 0.1, 0.5, 0.71], index=[4, 0, 2, 7])
    theirs = pd.Series([0.1, 0.45, 0.7, 0.2, 0.3], index=[0, 2, 4, 5, 6])
    test = paired_test(ours, theirs)
    expected = stats.ttest_1samp([0.0, 0.05, 0.2], 0)
    assert test.seeds == (0, 2, 4)
    assert test.difference == pytest.approx(0.25 / 3)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert bounds(test.interval) == pytest.approx(tuple(expected.confidence_interval()))
    assert "fewer than four common seeds" in test.warning


@pytest.mark.parametrize(("seeds", "message"), [([1, 2], "only one common seed"), ([3, 4], "no common seed")])
def test_fewer_than_two_pairs_are_no_test(seeds, message):
    test = paired_test(pd.Series([0.5, 0.7], index=[0, 1]), pd.Series([0.1, 0.3], index=seeds))
    assert test.warning == f"{message}: no paired test possible"
    assert test.difference == pytest.approx(0.4)
    assert (test.p_value, test.interval, test.effect_size) == (None, None, None)


def test_pairs_that_all_differ_alike_are_no_test():
    """Rounding leaves a spread of 1e-17 here, which must not become a p-value of zero."""
    ours, theirs = pd.Series([0.3, 0.2, 0.9]), pd.Series([0.2, 0.1, 0.8])
    assert 0 < np.ptp(ours - theirs) < 1e-15
    test = paired_test(ours, theirs)
    assert test.p_value is None
    assert "no spread" in test.warning
