"""Metrics of predictions, against hand-made values and scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from asc_mrkd.evaluation import (
    clip_scores,
    confusion_matrix,
    group_table,
    most_confused,
    overall_metrics,
)
from asc_mrkd.runs import read_predictions

LN2 = 0.6931471805599453
LN_EPS = -36.04365338911715  # natural logarithm of 2**-52


def test_overall_metrics_by_hand(predictions_file):
    metrics = overall_metrics(clip_scores(read_predictions(predictions_file)))
    assert metrics.accuracy == pytest.approx(3 / 5)
    assert metrics.macro_accuracy == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metrics.log_loss == pytest.approx((LN2 + 2 * LN2 + 0 + 0 - LN_EPS) / 5, abs=1e-12)


def test_group_tables_by_hand(predictions_file):
    scores = clip_scores(read_predictions(predictions_file))
    by_class, by_city = group_table(scores, "label"), group_table(scores, "city")
    assert by_class["clips"].to_dict() == {"bus": 3, "park": 1, "tram": 1}
    assert by_class.loc["bus", "accuracy"] == pytest.approx(2 / 3)
    assert by_class.loc["bus", "log_loss"] == pytest.approx(LN2)
    assert by_city["clips"].to_dict() == {"lyon": 4, "oslo-east": 1}
    assert group_table(scores, "device")["clips"].to_dict() == {"a": 3, "b": 1, "s4": 1}
    assert group_table(scores, "device_group")["clips"].to_dict() == {"real": 4, "unseen": 1}


def test_confusion_by_hand(predictions_file):
    predictions = read_predictions(predictions_file)
    confusion = confusion_matrix(predictions)
    assert confusion.tolist() == [[2, 0, 1], [0, 1, 0], [1, 0, 0]]
    pairs = most_confused(confusion, predictions.classes)
    assert {(pair.true, pair.predicted, pair.clips) for pair in pairs} == {("bus", "tram", 1), ("tram", "bus", 1)}
    assert {pair.true: pair.share for pair in pairs} == {"bus": pytest.approx(1 / 3), "tram": 1.0}


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_metrics_against_scikit_learn(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    classes, clips = np.array(["bus", "metro", "metro_station", "tram"]), 40
    labels = classes[np.concatenate([np.arange(4), rng.integers(0, 4, clips - 4)])]
    probabilities = rng.dirichlet(np.full(4, 0.3), clips)
    decisions = classes[probabilities.argmax(axis=1)]
    lines = [",".join(["filename,label,identifier,source_label,prediction", *classes])]
    for clip in range(clips):
        numbers = ",".join(repr(float(p)) for p in probabilities[clip])
        lines.append(f"{clip:02}.wav,{labels[clip]},city{clip % 3}-{clip},a,{decisions[clip]},{numbers}")
    path = tmp_path_factory.mktemp("run") / "predictions.csv"
    path.write_text("\n".join(lines))

    predictions = read_predictions(path)
    scores = clip_scores(predictions)
    metrics = overall_metrics(scores)
    assert metrics.accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, decisions))
    assert metrics.macro_accuracy == pytest.approx(sklearn.metrics.balanced_accuracy_score(labels, decisions))
    assert metrics.log_loss == pytest.approx(sklearn.metrics.log_loss(labels, probabilities, labels=classes), rel=1e-9)
    for name, row in group_table(scores, "label").iterrows():
        of_class = labels == name
        expected = sklearn.metrics.log_loss(labels[of_class], probabilities[of_class], labels=classes)
        assert row["log_loss"] == pytest.approx(expected, rel=1e-9)
    expected_counts = sklearn.metrics.confusion_matrix(labels, decisions, labels=classes)
    assert confusion_matrix(predictions).tolist() == expected_counts.tolist()
    for column in ("label", "city", "device"):
        groups = group_table(scores, column)
        assert groups["clips"].sum() == clips
        assert (groups["clips"] * groups["accuracy"]).sum() / clips == pytest.approx(metrics.accuracy)
        assert (groups["clips"] * groups["log_loss"]).sum() / clips == pytest.approx(metrics.log_loss)


def test_rows_slightly_off_one_are_taken_as_they_are(predictions_file):
    text = predictions_file.read_text().replace("0.5,0.25,0.25", "0.5004,0.25,0.25")
    predictions_file.write_text(text)
    assert clip_scores(read_predictions(predictions_file))["log_loss"][0] == pytest.approx(-np.log(0.5004))
