"""predictions.csv: written, read back, and refused when it is damaged."""

import numpy as np
import pandas as pd
import pytest
from helpers.runs import PREDICTIONS

from asc_mrkd.errors import RunError
from asc_mrkd.runs import accuracy_and_log_loss, read_predictions, write_predictions


@pytest.fixture
def predictions_file(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(PREDICTIONS)
    return path


def test_the_file_is_read_as_it_is(predictions_file):
    predictions = read_predictions(predictions_file)
    assert predictions.classes == ("bus", "park", "tram")
    assert predictions.labels.tolist() == [0, 0, 0, 1, 2]
    assert predictions.probabilities.dtype == np.float64
    assert predictions.probabilities[1].tolist() == [0.25, 0.25, 0.5]


def test_predictions_are_read_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(3, 0.3), 20)
    names = [f"{number:02}.wav" for number in range(20)]
    labels = rng.integers(0, 3, 20)
    classes = ["bus", "park", "tram"]
    table = pd.DataFrame({"filename": names, "label": [classes[label] for label in labels], "identifier": "a,b"})
    write_predictions(tmp_path / "predictions.csv", table.assign(source_label=""), classes, probabilities)
    predictions = read_predictions(tmp_path / "predictions.csv")
    assert predictions.probabilities.tobytes() == probabilities.tobytes()
    assert predictions.labels.tolist() == labels.tolist()
    assert predictions.table["identifier"].unique().tolist() == ["a,b"]
    assert predictions.table["prediction"].tolist() == [classes[index] for index in probabilities.argmax(axis=1)]
    accuracy, log_loss = accuracy_and_log_loss(probabilities, labels)
    assert accuracy == (predictions.table["prediction"] == predictions.table["label"]).mean()
    assert log_loss == pytest.approx(-np.log(probabilities[np.arange(20), labels]).mean())


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
