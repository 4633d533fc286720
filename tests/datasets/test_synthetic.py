"""The built-in scenes: folder and lists of an official set, and clips that only their course over time gives away."""

import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile as sf
from helpers.progress import RecordedProgress
from scipy import signal
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asc_mrkd.datasets import read_dataset
from asc_mrkd.datasets.synthetic import make_scenes
from asc_mrkd.datasets.synthetic.dataset import claim_folder, plan_clips
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.errors import ConfigError, DataError

pytestmark = pytest.mark.slow

SCENES = ["airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall"]
SCENES += ["street_pedestrian", "street_traffic", "tram"]
CITIES = {"barcelona", "helsinki", "london", "paris", "stockholm", "vienna"}


def table(path):
    return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(built_in_scenes):
    return built_in_scenes


@pytest.fixture(scope="module")
def meta(folder):
    return table(folder / "meta.csv")


@pytest.fixture(scope="module")
def measured(folder, meta):
    """RMS and peak of every clip, and its level over time in 40 mel-spaced bands in dB: (clip, band, frame)."""
    hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24_000 / 700), 41) / 2595) - 1)
    edges = np.round(hz / (48_000 / 2048)).astype(int)
    rms, peak, bands = [], [], []
    for filename, *_ in meta[1:]:
        samples, _ = sf.read(folder / filename, dtype="float32")
        rms.append(np.sqrt(np.mean(samples**2)))
        peak.append(np.abs(samples).max())
        power = np.abs(signal.stft(samples.mean(1), nperseg=2048, noverlap=0)[2]) ** 2
        bands.append(10 * np.log10(np.add.reduceat(power[:-1], edges[:-1], axis=0) + 1e-14))
    return np.array(rms), np.array(peak), np.array(bands)


@pytest.fixture(scope="module")
def fold(folder, meta):
    """Labels of the rows of meta.csv, and which rows train."""
    train = {row[0] for row in table(folder / "evaluation_setup" / "fold1_train.txt")}
    return np.array([row[1] for row in meta[1:]]), np.array([row[0] in train for row in meta[1:]])


def accuracy(classifier, features, fold):
    labels, train = fold
    model = make_pipeline(StandardScaler(), classifier).fit(features[train], labels[train])
    return model.score(features[~train], labels[~train])


def test_folder_has_the_official_name_and_content(folder):
    assert folder.name == "TUT-urban-acoustic-scenes-2018-development"
    assert {path.name for path in folder.iterdir()} == {"audio", "evaluation_setup", "meta.csv", "README.md"}
    assert "synthetic" in (folder / "README.md").read_text()


def test_clips_are_48_khz_stereo_24_bit_10_s(folder, meta):
    for filename, *_ in meta[1:]:
        info = sf.info(folder / filename)
        facts = (info.samplerate, info.channels, info.format, info.subtype, info.frames)
        assert facts == (48_000, 2, "WAV", "PCM_24", 480_000)


@pytest.mark.slow
def test_level_is_in_range_and_tells_nothing_about_the_scene(measured, fold):
    rms, peak, _ = measured
    level = 20 * np.log10(rms)
    assert level.min() >= -52
    assert level.max() <= -38
    assert peak.max() < 0.99, "a clip is clipped"
    assert accuracy(RidgeClassifier(), level[:, None], fold) <= 0.3


def test_channels_differ(folder, meta):
    left, right = sf.read(folder / meta[1][0])[0].T
    assert 0.05 < np.corrcoef(left, right)[0, 1] < 0.995


def test_meta_follows_from_the_names(folder, meta):
    assert meta[0] == ["filename", "scene_label", "identifier", "source_label"]
    for filename, scene, identifier, source in meta[1:]:
        name, city, location, _, device = filename.removeprefix("audio/").removesuffix(".wav").split("-")
        assert (scene, identifier, source) == (name, f"{city}-{location}", "a")
        assert city in CITIES
        assert device == "a"
    assert Counter(row[1] for row in meta[1:]) == dict.fromkeys(SCENES, 12)
    assert {f"audio/{path.name}" for path in (folder / "audio").iterdir()} == {row[0] for row in meta[1:]}


def test_fold_lists(folder, meta):
    train, evaluate, test = (
        table(folder / "evaluation_setup" / f"fold1_{p}.txt") for p in ("train", "evaluate", "test")
    )
    assert [row[:1] for row in evaluate] == test
    assert sorted(train + evaluate) == sorted(row[:2] for row in meta[1:])
    assert 0.6 <= len(train) / 120 <= 0.8


@pytest.mark.parametrize("clips_per_class", [2, 3, 5, 12, 100])
def test_folds_share_no_location_and_hold_every_scene(clips_per_class):
    clips = plan_clips(clips_per_class)
    assert Counter(clip.scene for clip in clips) == dict.fromkeys(SCENES, clips_per_class)
    assert len({clip.filename for clip in clips}) == len(clips)
    least_train, least_test = (3, 2) if clips_per_class >= 12 else (1, 1)
    for scene in SCENES:
        train, test = ({c.identifier for c in clips if c.scene == scene and c.train is part} for part in (True, False))
        assert not train & test
        assert len(train) >= least_train
        assert len(test) >= least_test


def test_a_location_belongs_to_one_scene():
    clips = plan_clips(30)
    pairs = {(clip.identifier, clip.scene) for clip in clips}
    assert len({identifier for identifier, _ in pairs}) == len(pairs)


def test_the_same_call_makes_only_what_is_missing_and_workers_change_no_byte(folder, meta, tmp_path):
    copy = shutil.copytree(folder.parent, tmp_path / "copy") / folder.name
    first, *lost = [next(copy / row[0] for row in meta[1:] if row[1] == scene) for scene in SCENES]
    first.write_bytes(first.read_bytes()[:-1])
    for path in lost:
        path.unlink()
    kept = copy / meta[2][0]
    before = kept.stat().st_mtime_ns
    shown = RecordedProgress()
    make_scenes(tmp_path / "copy", 12, 0, workers=1, progress=shown)
    assert shown.tasks == [("scenes", 120, "clips", 0, [110] + [1] * 10)]
    assert kept.stat().st_mtime_ns == before
    for path in (first, *lost):
        assert path.read_bytes() == (folder / "audio" / path.name).read_bytes()


def test_every_clip_and_every_seed_sounds_different(folder, meta):
    assert len({(folder / row[0]).read_bytes() for row in meta[1:]}) == 120
    path = folder / meta[1][0]
    written, _ = sf.read(path)
    assert np.abs(written - render_clip(0, path.name)).max() < 2**-23
    assert abs(np.corrcoef(written[:, 0], render_clip(1, path.name)[:, 0])[0, 1]) < 0.1


def test_mean_spectrum_does_not_give_the_scene_away(measured, fold):
    decibels = measured[2]
    for spectrum in (decibels.mean(2), 10 * np.log10((10 ** (decibels / 10)).mean(2))):
        for classifier in (RidgeClassifier(3.0), LogisticRegression(max_iter=1000)):
            assert accuracy(classifier, spectrum, fold) < 0.9


def test_course_over_time_does(measured, fold):
    decibels = measured[2]
    course = decibels - decibels.mean(2, keepdims=True)
    steps = np.diff(course, axis=2)
    upper = np.percentile(course, [5, 50, 95, 99], axis=2)
    texture = np.concatenate([course.std(2), steps.std(2), np.abs(steps).mean(2), *upper], axis=1)
    by_time = accuracy(LogisticRegression(C=0.1, max_iter=1000), texture, fold)
    by_mean = accuracy(LogisticRegression(C=0.1, max_iter=1000), decibels.mean(2), fold)
    assert by_time >= 0.7
    assert by_time > by_mean + 0.1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"clips_per_class": 1}, "clips-per-class"), ({"seed": -1}, "seed"), ({"workers": 0}, "workers")],
)
def test_argument_out_of_range(tmp_path, arguments, name):
    with pytest.raises(ConfigError, match=f"{name} is .* at least") as caught:
        make_scenes(tmp_path, **arguments)
    assert caught.value.hint
    assert not any(tmp_path.iterdir())


def test_a_folder_with_only_a_file_of_the_system_is_empty(tmp_path):
    (tmp_path / ".DS_Store").touch()
    claim_folder(tmp_path, "mine")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_another_data_set_is_left_alone(tmp_path):
    real = tmp_path / "TUT-urban-acoustic-scenes-2018-development" / "meta.csv"
    real.parent.mkdir()
    real.write_text("recorded")
    with pytest.raises(DataError, match="another data set") as caught:
        make_scenes(tmp_path, 2)
    assert caught.value.hint
    assert [path.name for path in real.parent.iterdir()] == ["meta.csv"]
    assert real.read_text() == "recorded"


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory") as caught:
        make_scenes(tmp_path / "file", 2)
    assert caught.value.hint


def test_three_labels_in_the_layout_of_2020(tmp_path):
    coarse = make_scenes(tmp_path, clips_per_class=2, workers=1, layout="tau2020-3class")
    assert coarse.name == "TAU-urban-acoustic-scenes-2020-3class-development"
    found = read_dataset(coarse)
    assert (found.layout, found.classes) == ("TAU 2020 3Class", ["indoor", "outdoor", "transportation"])
    assert Counter(found.clips["split"]) == {"train": 10, "test": 10}
    assert Counter(found.clips["label"]) == {"indoor": 6, "outdoor": 8, "transportation": 6}
    lists = {path.name: table(path) for path in (coarse / "evaluation_setup").iterdir()}
    assert {name: len(rows) for name, rows in lists.items()} == dict.fromkeys(
        ("fold1_train.csv", "fold1_test.csv", "fold1_evaluate.csv"), 11
    )
    assert lists["fold1_test.csv"][0] == ["filename"]
    assert lists["fold1_train.csv"][0] == ["filename", "scene_label"]
    for path in sorted(coarse.glob("audio/*.wav"))[::5]:  # only the lists differ
        assert np.abs(sf.read(path)[0] - render_clip(0, path.name)).max() < 2**-23


def test_an_unknown_layout(tmp_path):
    with pytest.raises(ConfigError, match="no layout 'tau2020'"):
        make_scenes(tmp_path, layout="tau2020")
