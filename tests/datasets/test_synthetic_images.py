"""The built-in images: the layout of CINIC-10, and classes that a single pixel or a mean colour does not give away."""

import re
import shutil
from collections import Counter

import numpy as np
import pytest
from helpers.progress import RecordedProgress
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asc_mrkd.datasets.images import open_images
from asc_mrkd.datasets.synthetic import make_images
from asc_mrkd.datasets.synthetic.dataset import plan_images
from asc_mrkd.datasets.synthetic.pictures import CLASSES, render_image
from asc_mrkd.errors import ConfigError, DataError

PER_CLASS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("built-in"), classes=10, per_class=PER_CLASS, seed=0, workers=2)


@pytest.fixture(scope="module")
def images(folder):
    """Pixels (image, row, column, RGB), the class of each image and whether it trains."""
    paths = sorted(folder.rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    return pixels, np.array([path.parent.name for path in paths]), np.array([p.parts[-3] == "train" for p in paths])


def accuracy(classifier, features, images):
    _, labels, train = images
    model = make_pipeline(StandardScaler(), classifier).fit(features[train], labels[train])
    return model.score(features[~train], labels[~train])


def test_layout_is_that_of_cinic10_without_valid(folder):
    assert {path.name for path in folder.iterdir()} == {"train", "test", "README.md"}
    assert "synthetic" in (folder / "README.md").read_text()
    train, test = (Counter(path.parent.name for path in (folder / part).rglob("*.png")) for part in ("train", "test"))
    assert len(train) == 10
    assert set(train.values()) == {0.8 * PER_CLASS}
    assert test == dict.fromkeys(train, 0.2 * PER_CLASS)
    assert not list(folder.rglob("*.tmp"))


def test_files_are_32x32_rgb_and_all_differ(folder):
    contents = set()
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
            contents.add(image.tobytes())
    assert len(contents) == 10 * PER_CLASS


def test_the_image_reader_takes_the_folder(folder, tmp_path):
    opened = open_images(shutil.copytree(folder, tmp_path / "copy"))
    assert {name: len(split.table) for name, split in opened.splits.items()} == {"train": 320, "test": 80}
    assert opened.classes == sorted(CLASSES[:10])


def test_classes_are_the_pairs_of_ten_shapes_and_ten_surfaces():
    pairs = {tuple(name.split("_")) for name in CLASSES}
    assert len(CLASSES) == len(pairs) == 100
    for start in range(0, 100, 10):
        shapes, surfaces = zip(*(name.split("_") for name in CLASSES[start : start + 10]), strict=True)
        assert len(set(shapes)) == len(set(surfaces)) == 10


@pytest.mark.parametrize("per_class", [2, 3, 5, 7, 100])
def test_every_class_trains_and_tests(per_class):
    folders = [name.rpartition("/")[0] for name in plan_images(100, per_class)]
    count = Counter(folders)
    assert len(folders) == 100 * per_class
    assert len(count) == 200
    assert count["test/disc_plain"] == max(1, per_class - round(0.8 * per_class))


def test_an_image_depends_on_seed_class_and_index_alone(folder):
    path = folder / "train" / "ring_stripes" / "ring_stripes-00007.png"
    written = np.asarray(Image.open(path))
    np.testing.assert_array_equal(written, render_image(0, "ring_stripes", 7))
    for other in ((1, "ring_stripes", 7), (0, "ring_plain", 7), (0, "ring_stripes", 8)):
        assert np.abs(written - render_image(*other).astype(float)).mean() > 10


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_drawn_with_contrast(name):
    pixels = render_image(3, name, 0) / 255
    assert pixels.std((0, 1)).max() > 0.05
    assert 0.1 < pixels.mean() < 0.9


def test_the_same_call_makes_only_what_is_missing_and_workers_change_nothing(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    kept, *lost = sorted(copy.rglob("*.png"))[::37]
    for path in lost:
        path.unlink()
    before = kept.stat().st_mtime_ns
    shown = RecordedProgress()
    make_images(copy, 10, PER_CLASS, 0, workers=1, progress=shown)
    whole = 10 * PER_CLASS - len(lost)
    assert shown.tasks == [("images", 10 * PER_CLASS, "images", 0, [whole] + [1] * len(lost))]
    assert kept.stat().st_mtime_ns == before
    for path in lost:
        assert path.read_bytes() == (folder / path.relative_to(copy)).read_bytes()


def test_neither_mean_colour_nor_single_pixels_give_the_class_away(images):
    pixels = images[0] / 255
    for features in (pixels.mean((1, 2)), pixels.reshape(len(pixels), -1)):
        assert accuracy(RidgeClassifier(100), features, images) < 0.35


def test_texture_does(images):
    """Power over spatial frequency, whatever the place and the direction: far above 10 %, so there is much to learn."""
    grey = images[0].mean(3) / 255
    grey -= grey.mean((1, 2), keepdims=True)
    power = np.log(np.abs(np.fft.fft2(grey * np.outer(np.hanning(32), np.hanning(32)))) ** 2 + 1e-5)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32)))
    spectrum = np.stack([power[:, (frequency >= k) & (frequency < k + 1)].mean(1) for k in range(16)], axis=1)
    assert accuracy(LogisticRegression(C=0.1, max_iter=1000), spectrum, images) > 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes is 1, it must be at least 2"),
        ({"classes": 101}, "classes is 101, it must be at most 100"),
        ({"per_class": 1}, "per-class is 1, it must be at least 2"),
        ({"seed": -1}, "seed is -1, it must be at least 0"),
        ({"workers": 0}, "workers is 0, it must be at least 1"),
    ],
)
def test_argument_out_of_range(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_images(tmp_path, **arguments)
    assert re.fullmatch(r"--[a-z-]+ \d+", caught.value.hint)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{"seed": 1}, {"per_class": 3}, {"classes": 3}])
def test_another_set_is_left_alone(tmp_path, settings):
    make_images(tmp_path / "set", classes=2, per_class=2, workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(DataError, match="already holds another data set") as caught:
        make_images(tmp_path / "set", **({"classes": 2, "per_class": 2} | settings))
    assert caught.value.hint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory") as caught:
        make_images(tmp_path / "file", classes=2, per_class=2)
    assert caught.value.hint
