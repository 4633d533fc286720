import math

import pytest
from scipy import special, stats

from asc_mrkd.evaluation import mean_std, welch_test

OURS = [0.781, 0.785, 0.779, 0.790]
THEIRS = [0.770, 0.772, 0.765, 0.775, 0.769]


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
    assert test.confidence == pytest.approx(1 - p_value)
    assert test.warning == ""


def test_welch_is_not_the_test_with_pooled_variance():
    wide = [0.70, 0.80, 0.75, 0.85]
    pooled = stats.ttest_ind(wide, THEIRS, equal_var=True).pvalue
    assert abs(welch_test(wide, THEIRS).p_value - pooled) > 0.01


def test_few_seeds_are_warned_about():
    assert "fewer than four seeds" in welch_test(OURS[:3], THEIRS).warning
    assert "fewer than four seeds" in welch_test(OURS, THEIRS[:2]).warning
    single = welch_test(OURS[:1], THEIRS)
    assert single.p_value is None
    assert single.confidence is None
    assert "single seed" in single.warning


def test_identical_seeds_have_no_p_value():
    test = welch_test([0.5, 0.5], [0.25, 0.25])
    assert test.difference == 0.25
    assert test.p_value is None
    assert "no spread" in test.warning
