"""The built-in mobile set: names, lists, devices, and what of it reaches a store."""

from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers.datasets import make_noise_scenes
from scipy.signal import resample_poly

from asc_mrkd import check_data
from asc_mrkd.config.domain import SCENES as DOMAIN
from asc_mrkd.datasets import read_dataset
from asc_mrkd.datasets.synthetic import mobile
from asc_mrkd.datasets.synthetic.dataset import make_missing
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.store import extract

FRONT_END = (
    "{name: t, sample_rate: 8000, channels: 1, n_fft: 256, hop_length: 99, n_mels: 8, fmax: 4000, clip_seconds: 1}"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Folder of the development set; its recordings are noise."""
    return make_noise_scenes(tmp_path_factory.mktemp("mobile"))


@pytest.fixture(scope="module")
def evaluation(scenes) -> Path:
    """Folder of the evaluation set."""
    return scenes.with_name("TAU-urban-acoustic-scenes-2025-mobile-evaluation")


def test_the_layout_is_that_of_2022(scenes):
    dataset = read_dataset(scenes)
    assert (dataset.layout, len(dataset.classes), len(dataset.clips)) == ("TAU 2022 Mobile", 10, 200)
    name = dataset.clips["filename"][0]
    assert name == "audio/airport-barcelona-0-0-0-a.wav"
    sound, rate = soundfile.read(scenes / name)
    assert (sound.shape, rate, soundfile.info(scenes / name).subtype) == ((44_100,), 44_100, "PCM_24")
    assert not [finding for finding in check_data(scenes).findings if finding.severity == "error"]


def test_three_devices_are_in_the_test_alone(scenes):
    clips = read_dataset(scenes).clips
    devices = {split: Counter(rows["source_label"]) for split, rows in clips.groupby("split")}
    assert devices["train"] == {"a": 50, "b": 10, "c": 10, "s1": 10, "s2": 10, "s3": 10}
    assert devices["test"] == {"a": 20, **dict.fromkeys(("b", "c", "s1", "s2", "s3", "s4", "s5", "s6"), 10)}
    groups = DOMAIN.groups["device_group"](clips[clips["split"] == "test"])
    assert Counter(groups) == {"real": 40, "seen": 30, "unseen": 30}
    by_class = clips.groupby(["split", "label"])["source_label"].nunique().unstack()
    assert (by_class.loc["test"] == 9).all(), "no device tells a class"


def test_smaller_lists_are_parts_of_larger_ones(scenes):
    setup = scenes / "evaluation_setup"
    lists = [pd.read_csv(setup / f"split{share}.csv", sep="\t") for share in (5, 10, 25, 50, 100)]
    assert [len(rows) for rows in lists] == [10, 10, 30, 50, 100]
    assert all(set(a["filename"]) <= set(b["filename"]) for a, b in pairwise(lists))
    assert all(rows["scene_label"].value_counts().nunique() == 1 for rows in lists)
    train = pd.read_csv(setup / "fold1_train.csv", sep="\t")
    assert set(lists[-1]["filename"]) == set(train["filename"])


def test_a_device_is_a_filter_of_its_own_and_a_changes_nothing():
    sound = 0.1 * np.random.default_rng(0).standard_normal(44_100)
    np.testing.assert_allclose(mobile.through_device(sound, "a"), sound, atol=1e-12)
    frequencies = np.linspace(0, 22_050, 500)
    curves = [mobile.device_gain(name, frequencies) for name in ("b", "c", *(f"s{n}" for n in range(1, 11)))]
    differences = [np.abs(np.log(a[50:] / b[50:])).mean() for a in curves for b in curves if a is not b]
    assert min(differences) > 0.1
    spectrum = np.abs(np.fft.rfft(mobile.through_device(sound, "b"))) / np.abs(np.fft.rfft(sound))
    gain = mobile.device_gain("b", np.fft.rfftfreq(44_100, 1 / 44_100))
    np.testing.assert_allclose(spectrum[100:15_000], gain[100:15_000], rtol=1e-6)


def test_impulse_responses_have_the_gains_of_their_devices(scenes):
    files = sorted((scenes / "impulse_responses").iterdir())
    assert len(files) == mobile.RESPONSES
    response, rate = soundfile.read(scenes / "impulse_responses" / "device1.wav")
    gain = mobile.device_gain("further 1", np.fft.rfftfreq(len(response), 1 / rate))
    spectrum = np.abs(np.fft.rfft(response))
    np.testing.assert_allclose(spectrum[20:150] / spectrum[60], gain[20:150] / gain[60], rtol=0.1)


def test_the_device_of_an_evaluation_list_reaches_the_store(evaluation, tmp_path):
    clips = read_dataset(evaluation).clips.set_index("filename")
    assert len(clips) == 100
    devices = [clips.loc[f"audio/{number}.wav", "source_label"] for number in range(10)]
    assert devices == ["a", "b", "c", "s1", "s2", "s3", "unknown", "unknown", "unknown", "unknown"]
    (tmp_path / "tiny.yaml").write_text(FRONT_END)
    store = extract(evaluation, tmp_path / "store", tmp_path / "tiny.yaml", workers=1)
    stored = store.clips.set_index("filename")["source_label"]
    assert stored.to_dict() == clips["source_label"].to_dict()
    assert Counter(DOMAIN.groups["device_group"](store.clips)) == {"real": 30, "seen": 30, "unseen": 40}


def test_a_finished_set_stays_and_a_missing_clip_is_made_again(scenes):
    path = scenes / "audio" / "airport-barcelona-0-0-4-a.wav"
    before = path.read_bytes()
    path.unlink()
    assert make_noise_scenes(scenes.parent) == scenes
    assert path.read_bytes() == before


def test_a_process_cuts_a_built_in_scene_into_seconds(tmp_path):
    recording = tmp_path / "bus-helsinki-1-1-a.wav"
    make = partial(mobile.write_seconds, seed=3, pieces={recording.name: [("0.wav", "a"), ("1.wav", "s1")]})
    make_missing([recording], make, workers=1, advance=lambda number: None)
    expected = resample_poly(render_clip(3, recording.name).mean(1), 147, 160)
    for second, least in enumerate((0.99, 0.3)):  # device s1 changes the sound
        clip, _ = soundfile.read(tmp_path / f"{second}.wav")
        alike = np.corrcoef(clip, expected[44_100 * second : 44_100 * (second + 1)])[0, 1]
        assert alike > least
