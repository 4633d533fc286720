"""Top-5 error and calibration error."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from asc_mrkd.evaluation import calibration_error, top_k_error
from asc_mrkd.runs import Predictions


def make_predictions(probabilities, labels) -> Predictions:
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    classes = np.array([f"class_{number:03}" for number in range(probabilities.shape[1])])
    table = pd.DataFrame({"label": classes[labels], "prediction": classes[probabilities.argmax(axis=1)]})
    return Predictions(table, tuple(classes), labels, probabilities)


def random_predictions(seed: int, classes: int, samples: int) -> Predictions:
    rng = np.random.default_rng(seed)
    return make_predictions(rng.dirichlet(np.full(classes, 0.3), samples), rng.integers(0, classes, samples))


def reference_calibration_error(predictions: Predictions, bins: int) -> float:
    """Expected calibration error, bin by bin."""
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    total = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 9))
def test_top_k_error_against_scikit_learn(seed, k):
    predictions = random_predictions(seed, classes=10, samples=60)
    accuracy = sklearn.metrics.top_k_accuracy_score(
        predictions.labels, predictions.probabilities, k=k, labels=np.arange(10)
    )
    assert top_k_error(predictions, k) == pytest.approx(1 - accuracy)


def test_the_sixth_highest_probability_is_an_error():
    falling = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])
    assert [top_k_error(make_predictions([falling], [label])) for label in range(7)] == [0, 0, 0, 0, 0, 1, 1]


def test_of_equal_probabilities_the_lower_class_index_is_ahead():
    alike = np.full(10, 0.1)
    assert [top_k_error(make_predictions([alike], [label])) for label in range(10)] == [0] * 5 + [1] * 5
    cut_in_a_tie = np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.1])
    assert [top_k_error(make_predictions([cut_in_a_tie], [label])) for label in range(6)] == [0, 0, 0, 0, 0, 1]


def test_the_top_1_error_is_that_of_the_decisions():
    rounded = random_predictions(3, classes=10, samples=500).probabilities.round(1)
    predictions = make_predictions(rounded, np.random.default_rng(4).integers(0, 10, 500))
    assert top_k_error(predictions, 1) == pytest.approx((rounded.argmax(axis=1) != predictions.labels).mean())


def test_five_classes_leave_no_top_5_error():
    assert top_k_error(random_predictions(0, classes=5, samples=100)) == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bins=st.integers(1, 30))
def test_calibration_error_against_its_definition(seed, bins):
    predictions = random_predictions(seed, classes=6, samples=200)
    assert calibration_error(predictions, bins) == pytest.approx(reference_calibration_error(predictions, bins))


def test_calibration_error_by_hand():
    """Two bins: of two samples at 0.9 one is right, of two at 0.6 first none, then one."""
    rows = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
    assert calibration_error(make_predictions(rows, [0, 1, 1, 1])) == pytest.approx((2 * 0.4 + 2 * 0.6) / 4)
    assert calibration_error(make_predictions(rows, [0, 1, 1, 0])) == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)


def test_a_bin_holds_its_upper_edge():
    """With ten bins 0.6 and 0.55 share a bin: one right and one wrong meet a mean confidence of 0.575."""
    rows = [[0.6, 0.4], [0.55, 0.45]]
    assert calibration_error(make_predictions(rows, [0, 1]), bins=10) == pytest.approx(abs(0.5 - 0.575))
    assert calibration_error(make_predictions(rows, [0, 1]), bins=20) == pytest.approx((0.4 + 0.55) / 2)


@pytest.mark.parametrize(("label", "error"), [(0, 0.0), (1, 1.0)])
def test_certainty_is_perfect_or_all_wrong(label, error):
    assert calibration_error(make_predictions([[1.0, 0.0]] * 3, [label] * 3)) == error
