"""CIFAR-10 and CIFAR-100 folders: order, names, labels, and every fault by the name of its file."""

import numpy as np
import pytest
from helpers.datasets import CIFAR10, python2_pickle, random_pixels, write_cifar10, write_cifar100

from asc_mrkd.datasets.images import is_image_set, open_images
from asc_mrkd.errors import DataError


def test_cifar10_joins_its_batches_in_order(tmp_path, pickler):
    images = open_images(write_cifar10(tmp_path, pickler, images=20))
    assert (images.layout, images.classes, list(images.splits)) == ("CIFAR-10", CIFAR10, ["train", "test"])
    train, test = images.splits["train"], images.splits["test"]
    assert np.array_equal(
        train.pixels, np.concatenate([random_pixels(20, k) for k in range(5)]).reshape(100, 3, 32, 32)
    )
    assert np.array_equal(test.pixels, random_pixels(20, 5).reshape(20, 3, 32, 32))
    assert train.pixels.dtype == np.uint8
    assert train.table["filename"].tolist() == [f"train/{k:05d}" for k in range(100)]
    assert test.table.iloc[13].tolist() == ["test/00013", "cat", "", ""]
    assert list(test.table) == ["filename", "label", "identifier", "source_label"]


def test_a_row_holds_the_three_planes_one_after_the_other(tmp_path):
    data = np.zeros((6, 3072), dtype=np.uint8)
    data[0, 1024 + 32 * 2 + 5] = 200
    pixels = open_images(write_cifar100(tmp_path, data=data)).splits["train"].pixels
    assert np.argwhere(pixels).tolist() == [[0, 1, 2, 5]]
    assert pixels[0, 1, 2, 5] == 200


def test_cifar100_has_names_and_superclasses(tmp_path, pickler):
    images = open_images(write_cifar100(tmp_path, pickler))
    assert (images.layout, images.classes) == ("CIFAR-100", ["apple", "bus", "wolf"])
    train = images.splits["train"]
    assert train.table["label"].tolist() == ["wolf", "apple", "bus"] * 2
    assert train.table["identifier"].tolist() == ["mixed", "mixed", "vehicles"] * 2
    assert np.array_equal(train.pixels.reshape(6, 3072), random_pixels(6, 0))
    assert images.splits["test"].table["filename"].tolist() == ["test/00000", "test/00001", "test/00002"]


def test_pixels_cannot_be_written_to(tmp_path):
    pixels = open_images(write_cifar100(tmp_path)).splits["train"].pixels
    assert isinstance(pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fine_labels": [0, 1, 2, 0, 1, 3]}, "train: image 5 of fine_labels has no index below 3"),
        ({"fine_labels": [0, -1, 2, 0, 1, 2]}, "train: image 1 of fine_labels has no index below 3"),
        ({"fine_labels": [0, "1", 2, 0, 1, 2]}, "train: image 1 of fine_labels has no index below 3"),
        ({"coarse_labels": [0, 0, 0, 0, 0, 2]}, "train: image 5 of coarse_labels has no index below 2"),
        ({"fine_labels": [0, 1]}, "train: 2 fine_labels for 6 images"),
        ({"fine_labels": None}, "train holds no fine_labels, as CIFAR-100 has it"),
        ({"coarse_labels": None}, "train holds no coarse_labels"),
        ({"data": None}, "train holds no data"),
        ({"data": [1, 2, 3]}, "train holds no data"),
        ({"data": np.zeros((6, 3071), dtype=np.uint8)}, r"train: data is uint8 \(6, 3071\) instead of uint8"),
        ({"data": np.zeros((6, 3072), dtype=np.int16)}, r"train: data is int16 \(6, 3072\)"),
        ({"data": np.zeros(3072, dtype=np.uint8)}, r"train: data is uint8 \(3072,\)"),
    ],
)
def test_a_batch_that_makes_no_sense_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as error:
        open_images(write_cifar100(tmp_path, **changes))
    assert error.value.hint == "asc-mrkd download cifar100"


@pytest.mark.parametrize("names", [[], ["wolf", "apple", "wolf"], ["wolf", "apple", 7], "wolf"])
def test_class_names_that_make_no_sense(tmp_path, names):
    folder = write_cifar100(tmp_path)
    (folder / "meta").write_bytes(python2_pickle({"fine_label_names": names, "coarse_label_names": ["a", "b"]}))
    with pytest.raises(DataError, match=r"meta.*fine_label_names"):
        open_images(folder)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = write_cifar10(tmp_path)
    (folder / name).unlink()
    assert is_image_set(folder)
    with pytest.raises(DataError, match=f"{name}: No such file") as error:
        open_images(folder)
    assert error.value.hint == "asc-mrkd download cifar10"


@pytest.mark.parametrize("name", ["data_batch_5", "test_batch", "batches.meta"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(tmp_path, name, share):
    path = write_cifar10(tmp_path) / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=f"{name} is damaged"):
        open_images(path.parent)
    assert not (path.parent / "asc-mrkd-cache").exists()


def test_the_folder_may_have_another_name_or_be_the_one_around(tmp_path):
    folder = write_cifar100(tmp_path / "data")
    assert open_images(tmp_path / "data").root == folder
    renamed = folder.rename(tmp_path / "mine")
    assert open_images(renamed).layout == "CIFAR-100"
    assert open_images(str(renamed)).root == renamed


def test_one_of_two_sets_has_to_be_chosen(tmp_path):
    write_cifar10(tmp_path)
    write_cifar100(tmp_path)
    assert is_image_set(tmp_path)
    with pytest.raises(DataError, match=r"several image sets: cifar-10-batches-py, cifar-100-python") as error:
        open_images(tmp_path)
    assert "cifar-10-batches-py" in error.value.hint


def test_what_is_no_image_set(tmp_path):
    recordings = tmp_path / "recordings"
    (recordings / "audio").mkdir(parents=True)
    (recordings / "meta.csv").touch()
    (recordings / "train").touch()
    (tmp_path / "sounds/train/bus").mkdir(parents=True)
    (tmp_path / "sounds/train/bus/a.wav").touch()
    (tmp_path / "sounds/train/bus/.hidden.png").touch()
    for folder in (recordings, tmp_path / "sounds", tmp_path, tmp_path / "missing", recordings / "meta.csv"):
        assert not is_image_set(folder)
        with pytest.raises(DataError, match=folder.name) as error:
            open_images(folder)
        assert "asc-mrkd download" in error.value.hint
