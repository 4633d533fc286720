"""predictions.csv: written, read back, and refused when it is damaged."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
from helpers.runs import PREDICTIONS

from asc_mrkd.errors import RunError
from asc_mrkd.files import checksum_file
from asc_mrkd.runs import accuracy_and_log_loss, percentage, read_predictions, write_predictions
from asc_mrkd.runs.predictions import TEXT_COLUMNS


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


@pytest.fixture
def written(tmp_path):
    """Predictions of 20 clips as training writes them."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(3, 0.3), 20)
    names = [f"{number:02}.wav" for number in range(20)]
    labels = [["bus", "park", "tram"][number % 3] for number in range(20)]
    table = pd.DataFrame({"filename": names, "label": labels, "identifier": "lyon-1", "source_label": "a"})
    write_predictions(tmp_path / "predictions.csv", table, ["bus", "park", "tram"], probabilities)
    return tmp_path / "predictions.csv"


def test_f1_5_the_checksum_lies_next_to_the_file(written):
    name, text = checksum_file(written), written.read_bytes()
    assert name.read_text() == f"{hashlib.sha256(text).hexdigest()}  predictions.csv\n"
    assert pd.read_csv(written).columns.tolist()[:5] == TEXT_COLUMNS


CHANGES = {
    "cut at the end of a line": lambda lines: lines[:-1],
    "a row removed": lambda lines: lines[:5] + lines[6:],
    "rows swapped": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "a label changed": lambda lines: [*lines[:1], lines[1].replace(",bus,", ",tram,", 1), *lines[2:]],
    "a class renamed": lambda lines: [lines[0].replace("tram", "trim"), *lines[1:]],
    "a row of another file": lambda lines: [*lines, "99.wav,bus,lyon-1,a,bus,1.0,0.0,0.0"],
    "a digit changed": lambda lines: [*lines[:7], lines[7].replace("3", "4"), *lines[8:]],
    "a clip renamed": lambda lines: [*lines[:2], lines[2].replace("01.wav", "77.wav"), *lines[3:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_f1_5_predictions_that_are_not_as_they_were_written_are_refused(written, change):
    before = written.read_text().splitlines()
    after = CHANGES[change](before)
    assert after != before
    written.write_text("\n".join(after) + "\n")
    with pytest.raises(RunError, match="it is not as it was written") as caught:
        read_predictions(written)
    assert "repeat the same `asc-mrkd train` command" in caught.value.hint


def test_f1_5_a_prediction_that_is_not_its_most_probable_class_is_refused(predictions_file):
    predictions_file.write_text(predictions_file.read_text().replace(",a,park,0.0,1.0", ",a,bus,0.0,1.0"))
    with pytest.raises(RunError, match=r"park-lyon-4-a\.wav' has a prediction that is not its most probable class"):
        read_predictions(predictions_file)


@pytest.mark.parametrize("checksum", [b"", b"0" * 64, b"\xff\xfe", b"predictions.csv\n"])
def test_f1_5_a_damaged_checksum_refuses_the_file(written, checksum):
    checksum_file(written).write_bytes(checksum)
    with pytest.raises(RunError, match="it is not as it was written"):
        read_predictions(written)


def test_f1_5_no_bit_of_the_file_may_change(written):
    whole = written.read_bytes()
    for position in np.random.default_rng(1).integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        written.write_bytes(damaged)
        with pytest.raises(RunError):
            read_predictions(written)
    written.write_bytes(whole)
    read_predictions(written)


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0.08125, 8.13), (0.08124999999999999, 8.13), (0.08125000000000002, 8.13), (0.081249, 8.12), (0.57505, 57.51)],
)
def test_f1_10_halves_go_away_from_zero_whatever_the_last_bits(fraction, shown):
    assert percentage(fraction) == shown
    assert percentage(-fraction) == -shown
    assert f"{percentage(-0.00001):.2f}" == "0.00"
    assert math.isnan(percentage(math.nan))
