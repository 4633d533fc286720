import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from asc_mrkd.errors import RunError
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


def test_the_file_is_read_as_it_is(predictions_file):
    predictions = read_predictions(predictions_file)
    assert predictions.classes == ("bus", "park", "tram")
    assert predictions.labels.tolist() == [0, 0, 0, 1, 2]
    assert predictions.probabilities.dtype == np.float64
    assert predictions.probabilities[1].tolist() == [0.25, 0.25, 0.5]


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
    expected_counts = np.zeros((4, 4), dtype=int)
    np.add.at(expected_counts, (np.searchsorted(classes, labels), probabilities.argmax(axis=1)), 1)
    assert (confusion_matrix(predictions) == expected_counts).all()
    for column in ("label", "city", "device"):
        groups = group_table(scores, column)
        assert groups["clips"].sum() == clips
        assert (groups["clips"] * groups["accuracy"]).sum() / clips == pytest.approx(metrics.accuracy)
        assert (groups["clips"] * groups["log_loss"]).sum() / clips == pytest.approx(metrics.log_loss)


def test_missing_predictions_say_how_to_get_them(tmp_path):
    with pytest.raises(RunError, match=r"predictions\.csv") as caught:
        read_predictions(tmp_path / "predictions.csv")
    assert "asc-mrkd train" in caught.value.hint


DAMAGE = {
    "empty": (None, ""),
    "header only": (None, "filename,label,identifier,source_label,prediction,bus,tram\n"),
    "no class columns": ("prediction,bus,park,tram", "prediction"),
    "column renamed": ("source_label", "device"),
    "classes out of order": ("bus,park,tram", "tram,park,bus"),
    "torn last line": ("1.0,0.0,0.0\n", "1."),
    "extra field": ("0.5,0.25,0.25", "0.5,0.25,0.25,0.0"),
    "not a number": ("0.5,0.25,0.25", "half,0.25,0.25"),
    "nan": ("0.5,0.25,0.25", "nan,0.25,0.25"),
    "no number": ("0.5,0.25,0.25", ",0.25,0.25"),
    "negative": ("0.5,0.25,0.25", "1.25,-0.5,0.25"),
    "sum is not one": ("0.5,0.25,0.25", "0.4,0.25,0.25"),
    "unknown label": (",bus,lyon-1", ",ferry,lyon-1"),
    "no label": (",bus,lyon-1", ",,lyon-1"),
    "unknown prediction": (",a,park,", ",a,pork,"),
    "clip twice": ("bus-lyon-2-b", "bus-lyon-1-a"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_predictions_are_an_error_with_a_hint(predictions_file, damage):
    before, after = DAMAGE[damage]
    text = predictions_file.read_text()
    head, found, tail = text.rpartition(before) if before else ("", text, "")
    assert found
    predictions_file.write_text(head + after + tail)
    with pytest.raises(RunError, match=r"predictions\.csv") as caught:
        read_predictions(predictions_file)
    assert caught.value.hint


def test_binary_predictions_are_an_error(predictions_file):
    predictions_file.write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(RunError):
        read_predictions(predictions_file)


def test_rows_slightly_off_one_are_taken_as_they_are(predictions_file):
    text = predictions_file.read_text().replace("0.5,0.25,0.25", "0.5004,0.25,0.25")
    predictions_file.write_text(text)
    assert clip_scores(read_predictions(predictions_file))["log_loss"][0] == pytest.approx(-np.log(0.5004))
