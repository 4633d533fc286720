"""The check of image sets: a perfect set has no findings, and every fault has its own."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_cli
from helpers.datasets import CIFAR10, TREE_NAMES, write_cifar10, write_cifar100, write_image, write_tree

from asc_mrkd.datasets.images import ImageSet, ImageSplit
from asc_mrkd.datasets.images.check import check_images

pytestmark = pytest.mark.slow

PER_CLASS = 9000


def numbered(first: int, count: int) -> np.ndarray:
    """Return `count` images of 2x2 (image, 3, 2, 2) that all differ, and none of one colour."""
    images = np.zeros((count, 12), dtype=np.uint8)
    images[:, :4] = np.arange(first, first + count, dtype="<u4")[:, None].view(np.uint8)
    images[:, 4:] = range(8)
    return images.reshape(count, 3, 2, 2)


@pytest.fixture(scope="module")
def cinic() -> ImageSet:
    """All that makes a CINIC-10, but for the size of its images."""
    labels = np.repeat(CIFAR10, PER_CLASS)
    splits = {}
    for number, name in enumerate(("train", "valid", "test")):
        filenames = [f"{name}/{position}.png" for position in range(len(labels))]
        table = pd.DataFrame({"filename": filenames, "label": labels, "identifier": "", "source_label": "imagenet"})
        splits[name] = ImageSplit(numbered(number * len(labels), len(labels)), table)
    return ImageSet(Path("cinic"), "CINIC-10", CIFAR10, splits, "")


def change(images: ImageSet, name: str, split: ImageSplit) -> ImageSet:
    return replace(images, splits=images.splits | {name: split})


def findings(images) -> list[tuple[str, str, str, str]]:
    return [(f.severity, f.code, f.subject, f.detail) for f in check_images(images)]


def test_the_whole_set_has_no_findings(cinic):
    assert check_images(cinic) == []


@pytest.mark.parametrize("layout", ["CINIC-10", "image folder"])
def test_missing_images(cinic, layout):
    valid = cinic.splits["valid"]
    some = replace(change(cinic, "valid", ImageSplit(valid.pixels[5:], valid.table[5:])), layout=layout)
    unbalanced = "unbalanced_classes", "valid", "from 8995 images (airplane) to 9000 (automobile) per class"
    if layout == "CINIC-10":
        expected = [("error", "missing_images", "valid", "89995 images instead of 90000"), ("error", *unbalanced)]
    else:
        expected = [("warning", *unbalanced)]
    assert findings(some) == expected


def test_extra_images(cinic):
    test = cinic.splits["test"]
    pixels = np.concatenate([test.pixels, numbered(10**6, 10)])
    table = pd.concat([test.table, test.table[::PER_CLASS]], ignore_index=True)
    more = change(cinic, "test", ImageSplit(pixels, table))
    assert findings(more) == [("error", "extra_images", "test", "90010 images instead of 90000")]


def test_wrong_classes(cinic):
    splits = {
        name: ImageSplit(split.pixels, split.table.assign(label=split.table["label"].replace("cat", "lynx")))
        for name, split in cinic.splits.items()
    }
    renamed = replace(cinic, classes=sorted({*CIFAR10, "lynx"} - {"cat"}), splits=splits)
    assert findings(renamed) == [
        ("error", "wrong_classes", "cat", "is missing"),
        ("error", "wrong_classes", "lynx", "is not a class of CINIC-10"),
    ]


def test_images_in_two_splits_are_counted_once_each(cinic):
    pixels = cinic.splits["test"].pixels.copy()
    pixels[[7, 8, 80_000]] = cinic.splits["train"].pixels[[3, 3, 5]]
    pixels[9] = cinic.splits["valid"].pixels[4]
    found = findings(change(cinic, "test", ImageSplit(pixels, cinic.splits["test"].table)))
    assert [finding[:3] for finding in found] == [("warning", "duplicate_images", "test")] * 2
    assert found[0][3].startswith("2 distinct images are in train too, as test/")
    assert found[1][3] == "1 distinct images are in valid too, as test/9.png is valid/4.png"


def test_images_of_one_colour(cinic):
    pixels = cinic.splits["train"].pixels.copy()
    pixels[5000] = np.array([1, 2, 3], dtype=np.uint8)[:, None, None]
    pixels[89_999] = 0
    assert findings(change(cinic, "train", ImageSplit(pixels, cinic.splits["train"].table))) == [
        ("warning", "one_colour", "train/5000.png", "every pixel is (1, 2, 3)"),
        ("warning", "one_colour", "train/89999.png", "every pixel is (0, 0, 0)"),
    ]


def test_files_that_are_not_the_official_ones(tmp_path):
    folder = write_cifar10(tmp_path, images=20)
    found = findings(folder)
    assert [finding[:3] for finding in found[:7]] == [
        ("warning", "not_official_file", name)
        for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]
    ]
    digest = hashlib.md5((folder / "data_batch_1").read_bytes()).hexdigest()
    assert digest in found[0][3]
    assert "c99cafc152244af753f735de768cd75f; the images may still be the same" in found[0][3]
    assert found[7:] == [
        ("error", "missing_images", "train", "100 images instead of 50000"),
        ("error", "missing_images", "test", "20 images instead of 10000"),
    ]


def test_check_data_of_an_image_folder(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    write_image(tmp_path / "test/NA/1.png", seed=TREE_NAMES.index("train/cat/0.png"))
    code, out, _ = run_cli("check-data", tmp_path)
    assert code == 0
    assert out.splitlines() == [
        "image folder: 12 images (6 train, 6 test), 3 classes",
        "warning duplicate_images: 1",
        "    test: 1 distinct images are in train too, as test/NA/1.png is train/cat/0.png",
        "all can be used",
    ]


def test_check_data_of_a_part_of_an_official_set(tmp_path):
    write_cifar100(tmp_path)
    code, out, _ = run_cli("check-data", tmp_path)
    assert code == 1
    assert out.splitlines()[0] == "CIFAR-100: 9 images (6 train, 3 test), 3 classes"
    assert "error missing_images: 2\n    train: 6 images instead of 50000\n" in out
    assert "error wrong_classes: 97\n    aquarium_fish: is missing\n" in out
    code, out, _ = run_cli("check-data", tmp_path, "--json")
    found = json.loads(out)
    assert code == 1
    assert list(found) == ["layout", "clips", "splits", "classes", "bad", "findings", "summary"]
    assert (found["layout"], found["clips"], found["splits"]) == ("CIFAR-100", 9, {"train": 6, "test": 3})
    assert {"train", "test"} <= set(found["bad"])
    assert {"not_official_file", "missing_images", "wrong_classes"} == {f["code"] for f in found["findings"]}


def test_check_data_of_a_damaged_set(tmp_path):
    (write_cifar100(tmp_path) / "test").write_bytes(b"")
    code, _, err = run_cli("check-data", tmp_path)
    assert code == 2
    assert "test is damaged" in err
    assert "hint: asc-mrkd download cifar100" in err
