"""The cache: used while it is true, made again when it is not, left out where it cannot be written."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.datasets import TREE_NAMES, python2_pickle, random_pixels, write_cifar100, write_image, write_tree

from asc_mrkd.datasets.images import ImageSet, cifar, open_images

CACHE = "asc-mrkd-cache"


def assert_equal(first: ImageSet, second: ImageSet) -> None:
    assert (first.layout, first.classes, list(first.splits)) == (second.layout, second.classes, list(second.splits))
    for name, split in first.splits.items():
        assert np.array_equal(split.pixels, second.splits[name].pixels)
        assert split.table.equals(second.splits[name].table)


@pytest.fixture
def folder(tmp_path):
    """A CIFAR-100 folder that was opened once."""
    folder = write_cifar100(tmp_path)
    open_images(folder)
    return folder


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the source files that are read from now on."""
    names: list[str] = []
    read_pickle = cifar.read_pickle

    def counting(path, *arguments):
        names.append(path.name)
        return read_pickle(path, *arguments)

    monkeypatch.setattr(cifar, "read_pickle", counting)
    return names


def test_later_calls_read_no_source(folder, reads):
    first = open_images(folder)
    assert reads == []
    shutil.rmtree(folder / CACHE)
    assert_equal(open_images(folder), first)
    assert {"meta", "train", "test"} == set(reads)


def test_a_tree_comes_out_of_the_cache_as_it_went_in(tmp_path, monkeypatch):
    names = [f"{split}/{label}/{k}.png" for split in ("test", "train") for label in ("1", "NA", 'a,"b') for k in "0é"]
    expected = write_tree(tmp_path, names)
    first = open_images(tmp_path)
    monkeypatch.delattr("asc_mrkd.datasets.images.image_folder.Image")
    again = open_images(tmp_path)
    assert_equal(again, first)
    assert again.classes == ["1", "NA", 'a,"b']
    for split in again.splits.values():
        for name, label, pixels in zip(split.table["filename"], split.table["label"], split.pixels, strict=True):
            assert label == name.split("/")[1]
            assert np.array_equal(pixels, expected[name])


def test_moving_the_set_keeps_the_cache(folder, reads, tmp_path):
    assert open_images(folder.rename(tmp_path / "elsewhere")).root == tmp_path / "elsewhere"
    assert reads == []


@pytest.mark.parametrize("keep_size", [True, False])
def test_a_changed_file_is_read_anew(folder, keep_size):
    images = 6 if keep_size else 4
    labels = {"fine_labels": [0] * images, "coarse_labels": [0] * images}
    (folder / "train").write_bytes(python2_pickle(labels | {"data": random_pixels(images, 77)}))
    os.utime(folder / "train", ns=(1, 1))
    train = open_images(folder).splits["train"]
    assert np.array_equal(train.pixels.reshape(images, 3072), random_pixels(images, 77))
    assert set(train.table["label"]) == {"wolf"}


def test_an_image_that_is_added_is_seen(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    open_images(tmp_path)
    expected = write_image(tmp_path / "test/dog/9.png", seed=9)
    test = open_images(tmp_path).splits["test"]
    assert test.table["filename"].iloc[-1] == "test/dog/9.png"
    assert np.array_equal(test.pixels[-1], expected)


def cut_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "train.csv", "test.csv", "cache.json"])
@pytest.mark.parametrize("damage", [cut_half, overwrite, os.unlink])
def test_a_damaged_cache_is_made_anew(folder, reads, name, damage):
    reference = open_images(folder)
    copy = {split: np.array(found.pixels) for split, found in reference.splits.items()}
    damage(folder / CACHE / name)
    images = open_images(folder)
    assert reads
    for split, pixels in copy.items():
        assert np.array_equal(images.splits[split].pixels, pixels)
    reads.clear()
    assert_equal(open_images(folder), images)
    assert reads == []


@pytest.mark.parametrize("description", ["[]", "{}", '{"fingerprint": 1}', "null"])
def test_a_description_that_is_another_json(folder, reads, description):
    (folder / CACHE / "cache.json").write_text(description)
    assert open_images(folder).classes == ["apple", "bus", "wolf"]
    assert reads


def test_a_description_without_lists(folder, reads):
    path = folder / CACHE / "cache.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"splits": 3}))
    assert list(open_images(folder).splits) == ["train", "test"]
    assert reads


def test_interrupted_before_the_description_was_written(folder, monkeypatch, reads):
    shutil.rmtree(folder / CACHE)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("asc_mrkd.datasets.images.cache.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            open_images(folder)
    assert not (folder / CACHE).exists()
    assert open_images(folder).splits["train"].pixels.shape == (6, 3, 32, 32)


def test_a_folder_that_cannot_be_written_is_read_each_time(folder, reads):
    reference = open_images(folder)
    shutil.rmtree(folder / CACHE)
    (folder / CACHE).touch()
    for _ in range(2):
        with pytest.warns(UserWarning, match="cannot be written .*; make the folder writable, or copy") as warned:
            images = open_images(folder)
        assert len(warned) == 1
        assert_equal(images, reference)
        assert not images.splits["train"].pixels.flags.writeable
    assert reads.count("train") >= 2


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    shutil.rmtree(folder / CACHE)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("asc_mrkd.files.os.fsync", full)
    with pytest.warns(UserWarning, match=r"train\.npy cannot be written: the disk is full"):
        assert open_images(folder).splits["test"].pixels.shape == (3, 3, 32, 32)
    assert sorted(path.name for path in folder.iterdir()) == ["meta", "test", "train"]


def test_f1_2_the_digest_is_that_of_the_content(folder, tmp_path):
    digest = open_images(folder).digest
    assert len(digest) == 64
    copy = shutil.copytree(folder, tmp_path / "copy" / folder.name, ignore=shutil.ignore_patterns(CACHE))
    assert open_images(copy).digest == digest
    shutil.rmtree(copy / CACHE)
    (copy / CACHE).touch()
    with pytest.warns(UserWarning, match="cannot be written"):
        assert open_images(copy).digest == digest
    labels = {"fine_labels": [0] * 6, "coarse_labels": [0] * 6}
    (folder / "train").write_bytes(python2_pickle(labels | {"data": random_pixels(6, 77)}))
    assert open_images(folder).digest != digest


def test_f1_2_one_changed_pixel_or_class_changes_the_digest(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    digests = {open_images(tmp_path).digest}
    write_image(tmp_path / "train/dog/0.png", seed=99)
    digests.add(open_images(tmp_path).digest)
    (tmp_path / "train/dog/1.png").rename(tmp_path / "train/cat/9.png")
    digests.add(open_images(tmp_path).digest)
    assert len(digests) == 3
