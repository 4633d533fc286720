"""Clips to see and hear: the right ones, with their picture and, where the recordings are, their sound."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers.audio import make_noise, write_sound
from helpers.runs import CLASSES, write_feature_store, write_run
from PIL import Image

from asc_mrkd.errors import DataError
from asc_mrkd.evaluation import evaluate
from asc_mrkd.report import clips, write_report
from asc_mrkd.report.clips import class_clips, find_clips, short_sound, spectrogram_png
from asc_mrkd.store.layout import open_store, write_sums

RATE = 8000


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return evaluate(write_run(tmp_path_factory.mktemp("exp") / "ce", seeds=2, epochs=2, clips_per_class=6))


@pytest.fixture
def matching_store(summary, tmp_path):
    """A feature store whose clips have the names of the first test clips, and a recording for one class."""
    folder = write_feature_store(tmp_path / "store")
    table = pd.read_csv(folder / "clips.csv", keep_default_na=False)
    names = [find_clips(summary, label) for label in CLASSES]
    chosen = [summary.scores["filename"].iloc[place] for pair in names for place in pair if place is not None]
    table["filename"] = [*chosen, *table["filename"]][: len(table)]
    table.to_csv(folder / "clips.csv", index=False)
    write_sums(folder)
    first = find_clips(summary, CLASSES[0])[0]
    path = tmp_path / "recordings" / summary.scores["filename"].iloc[first]
    path.parent.mkdir(parents=True)
    write_sound(path, make_noise(1, RATE), RATE)
    return folder


def test_the_clips_are_the_most_certain_and_the_most_confused(summary):
    probabilities = summary.probabilities
    assert probabilities.shape == (len(summary.scores), len(CLASSES))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    for k, label in enumerate(CLASSES):
        certain, confused = find_clips(summary, label)
        of_class = [place for place, one in enumerate(summary.scores["label"]) if one == label]
        right = [place for place in of_class if probabilities[place].argmax() == k]
        wrong = [place for place in of_class if probabilities[place].argmax() != k]
        assert certain == (max(right, key=lambda place: probabilities[place, k]) if right else None)
        assert confused == (max(wrong, key=lambda place: probabilities[place].max()) if wrong else None)


def test_pictures_and_sounds_are_inside_the_page(summary, matching_store, tmp_path, undrawn):
    write_report([summary.folder], tmp_path / "r.html", matching_store, tmp_path / "recordings")
    page = (tmp_path / "r.html").read_text()
    assert page.index("Most confused") < page.index("Clips to see and hear")
    (sound,) = re.findall(r'<audio controls preload="none" src="data:audio/mpeg;base64,([^"]+)"', page)
    samples, rate = sf.read(io.BytesIO(base64.b64decode(sound)))
    assert (rate, samples.ndim) == (clips.SOUND_RATE, 1)
    assert len(samples) / rate == pytest.approx(1, abs=0.1)
    assert page.count('alt="Spectrogram of ') >= 1
    with pytest.raises(DataError, match="holds no clip"):
        write_report([summary.folder], tmp_path / "r.html", matching_store, tmp_path)


def test_a_folder_is_right_also_where_no_sound_can_be_written(summary, matching_store, tmp_path, monkeypatch):
    monkeypatch.setitem(clips.SOUND_OPTIONS, "format", "NONE")  # as of a libsndfile without MP3
    rows = class_clips(summary, open_store(matching_store), tmp_path / "recordings")
    assert all(clip.sound is None for row in rows for clip in (row.certain, row.confused) if clip)


def test_many_classes_show_the_worst(summary, matching_store, monkeypatch, undrawn):
    monkeypatch.setattr(clips, "MOST_CLASSES", 3)
    rows = class_clips(summary, open_store(matching_store), None)
    worst = summary.by("label")["accuracy"].sort_values(kind="stable").index[:3]
    assert [row.label for row in rows] == sorted(worst)
    assert all(clip.sound is None for row in rows for clip in (row.certain, row.confused) if clip)
    write_report([summary.folder], matching_store / "report.html", matching_store)
    assert "The 3 of 10 classes with the lowest accuracy." in (matching_store / "report.html").read_text()


def test_a_spectrogram_is_small_and_stands_upright():
    features = np.zeros((256, 600), np.float32)
    features[:20] = 10  # low frequencies
    picture = Image.open(io.BytesIO(spectrogram_png(features, 0, 10)))
    assert picture.size == (clips.LARGEST_PICTURE[1], clips.LARGEST_PICTURE[0])
    grey = np.asarray(picture.convert("L"))
    assert grey[-1].mean() > 200
    assert grey[0].mean() < 10


def test_a_piece_of_a_recording_is_heard_alone(tmp_path):
    time = np.arange(3 * RATE) / RATE
    tone = np.where(time < 2, 0.0, 0.5) * np.sin(2 * np.pi * 440 * time)
    write_sound(tmp_path / "a.wav", tone[None], RATE)
    samples, rate = sf.read(io.BytesIO(short_sound(tmp_path / "a.wav", 2.0, 3.0)))
    assert len(samples) / rate == pytest.approx(1, abs=0.1)
    assert np.abs(samples).max() > 0.3
    silent, _ = sf.read(io.BytesIO(short_sound(tmp_path / "a.wav", 0.5, 1.5)))
    assert np.abs(silent).max() < 0.01
