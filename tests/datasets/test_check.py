"""The check of recordings: a sound data set has no findings, and every fault has its own."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.progress import RecordedProgress

from asc_mrkd.datasets import read_dataset
from asc_mrkd.datasets.check import check_recordings
from asc_mrkd.datasets.findings import unusable_subjects

RATE = 8000


def write_clip(path: Path, seconds: float = 0.1, rate: int = RATE, channels: int = 2) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, sound, rate, subtype="PCM_16")


@pytest.fixture
def root(tmp_path) -> Path:
    """A sound data set: buses and trams, each with one location in train and another in test, two clips a location."""
    rows = [(f"audio/{label}-ulm-{place}-{i}-a.wav", label, place) for label, place in LOCATIONS for i in range(2)]
    (tmp_path / "audio").mkdir()
    (tmp_path / "evaluation_setup").mkdir()
    for name, _, _ in rows:
        write_clip(tmp_path / name)
    meta = [f"{name}\t{label}\tulm-{place}\ta\n" for name, label, place in rows]
    (tmp_path / "meta.csv").write_text("filename\tscene_label\tidentifier\tsource_label\n" + "".join(meta))
    for fold, places in {"train": (0, 1), "test": (2, 3)}.items():
        lines = [f"{name}\t{label}\n" for name, label, place in rows if place in places]
        (tmp_path / "evaluation_setup" / f"fold1_{fold}.txt").write_text("".join(lines))
    return tmp_path


LOCATIONS = [("bus", 0), ("tram", 1), ("bus", 2), ("tram", 3)]


def findings(root: Path, **options) -> list[tuple[str, str, str]]:
    return [(f.code, f.subject, f.severity) for f in check_recordings(read_dataset(root), **options)]


@pytest.mark.parametrize("workers", [1, 2])
def test_sound_data_set_has_no_findings(root, workers):
    shown = RecordedProgress()
    assert check_recordings(read_dataset(root), workers=workers, progress=shown) == []
    assert shown.tasks == [("reading", 8, "clips", 0, [1] * 8)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_bad_clip_is_named_with_its_reason(root, workers):
    audio = root / "audio"
    (audio / "bus-ulm-0-0-a.wav").unlink()
    half = (audio / "bus-ulm-0-1-a.wav").read_bytes()
    (audio / "bus-ulm-0-1-a.wav").write_bytes(half[: len(half) // 2])
    (audio / "bus-ulm-2-0-a.wav").write_text("<html>404</html>")
    soundfile.write(audio / "tram-ulm-1-0-a.wav", np.zeros((800, 2)), RATE)
    soundfile.write(audio / "tram-ulm-1-1-a.wav", np.full((800, 2), np.nan), RATE, subtype="FLOAT")
    write_clip(audio / "tram-ulm-3-0-a.wav", seconds=0.05)
    assert findings(root, workers=workers) == [
        ("missing", "audio/bus-ulm-0-0-a.wav", "error"),
        ("truncated", "audio/bus-ulm-0-1-a.wav", "error"),
        ("not_audio", "audio/bus-ulm-2-0-a.wav", "error"),
        ("silent", "audio/tram-ulm-1-0-a.wav", "error"),
        ("non_finite", "audio/tram-ulm-1-1-a.wav", "error"),
        ("wrong_length", "audio/tram-ulm-3-0-a.wav", "error"),
    ]
    assert len(unusable_subjects(check_recordings(read_dataset(root)))) == 6


def test_deviating_rate_and_channels_are_warnings(root):
    name = "audio/bus-ulm-2-0-a.wav"
    write_clip(root / name, rate=16_000, channels=1)
    found = check_recordings(read_dataset(root))
    assert [(f.code, f.subject, f.severity) for f in found] == [
        ("wrong_rate", name, "warning"),
        ("wrong_channels", name, "warning"),
    ]
    assert [f.detail for f in found] == ["16000 Hz instead of 8000", "1 channels instead of 2"]
    assert unusable_subjects(found) == []


@pytest.mark.parametrize(
    ("expected", "code"),
    [({"sample_rate": 48_000}, "wrong_rate"), ({"seconds": 10.0}, "wrong_length")],
)
def test_given_expectation_replaces_the_majority(root, expected, code):
    assert Counter(found[0] for found in findings(root, **expected)) == {code: 8}
    assert findings(root, sample_rate=RATE, seconds=0.1) == []
    assert findings(root, seconds=0.09, tolerance=0.01) == []  # 0.1 - 0.09 is a little more than 0.01


def test_extra_files_and_duplicate_rows(root):
    write_clip(root / "audio" / "extra.wav")
    meta = root / "meta.csv"
    meta.write_text(meta.read_text() + meta.read_text().splitlines()[-1] + "\n")
    assert findings(root) == [("extra_file", "audio/extra.wav", "warning"), ("duplicate_rows", "lists", "warning")]


def test_location_in_both_folds_and_absent_class(root):
    folds = root / "evaluation_setup"
    train = (folds / "fold1_train.txt").read_text().splitlines(keepends=True)
    (folds / "fold1_train.txt").write_text("".join(train[1:]))
    (folds / "fold1_test.txt").write_text(train[0])
    found = check_recordings(read_dataset(root))
    assert [(f.code, f.subject, f.severity) for f in found] == [
        ("location_in_both_folds", "ulm-0", "warning"),
        ("class_not_in_test", "tram", "warning"),
    ]
    assert found[0].detail == "1 clips in train, 1 in test"


def test_evaluation_set_is_read_too(root):
    for path in [root / "meta.csv", *(root / "evaluation_setup").iterdir()]:
        path.unlink()
    assert findings(root) == []
    (root / "audio" / "bus-ulm-0-0-a.wav").write_bytes(b"")
    assert findings(root) == [("empty", "audio/bus-ulm-0-0-a.wav", "error")]
