"""Trees of images: CINIC-10 and folders of one's own."""

import numpy as np
import pytest
from helpers.datasets import CIFAR10, CINIC_NAMES, TREE_NAMES, write_image, write_tree

from asc_mrkd.datasets.images import is_image_set, open_images
from asc_mrkd.datasets.images.check import check_images
from asc_mrkd.datasets.images.image_folder import list_other_files
from asc_mrkd.errors import DataError


def pixels_by_name(images) -> dict[str, np.ndarray]:
    return {
        name: pixels
        for split in images.splits.values()
        for name, pixels in zip(split.table["filename"], split.pixels, strict=True)
    }


def assert_holds(images, expected: dict[str, np.ndarray]) -> None:
    found = pixels_by_name(images)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


OTHERS = ["test/dog/LIESMICH", "train/cat/notes.txt"]


def test_image_folder(tmp_path):
    expected = write_tree(tmp_path, TREE_NAMES)
    for name in (*OTHERS, "train/cat/.0.png", "train/README.png", "train/.git/0.png", "train/.git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "train/empty").mkdir()
    write_image(tmp_path / "train/cat/more/1.png")
    assert is_image_set(tmp_path)
    images = open_images(tmp_path)
    assert (images.layout, images.classes, list(images.splits)) == (
        "image folder",
        ["NA", "cat", "dog"],
        ["train", "test"],
    )
    assert_holds(images, expected)
    assert list_other_files(tmp_path) == OTHERS
    [deeper] = [finding.detail for finding in check_images(images) if finding.code == "deeper_images"]
    assert deeper == "images below the folders of the classes are left out: 1, such as train/cat/more/1.png"
    assert images.splits["test"].pixels.shape == (6, 3, 3, 4)
    table = images.splits["train"].table
    assert table["filename"].tolist() == sorted(name for name in expected if name.startswith("train"))
    assert table["label"].tolist() == ["NA", "NA", "cat", "cat", "dog", "dog"]
    assert set(table["identifier"]) == set(table["source_label"]) == {""}


@pytest.mark.slow
def test_many_images_keep_their_names(tmp_path):
    names = [f"{split}/{label}/{k}.png" for split in ("train", "test") for label in "ab" for k in range(300)]
    expected = write_tree(tmp_path, names)
    assert_holds(open_images(tmp_path), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_other_kinds_of_png_become_rgb(tmp_path, mode):
    expected = write_tree(tmp_path, TREE_NAMES)
    name = "train/cat/1.png"
    expected[name] = write_image(tmp_path / name, seed=99, mode=mode)
    assert_holds(open_images(tmp_path), expected)


def test_jpeg_and_valid(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    write_tree(tmp_path, ["valid/cat/a.jpg", "valid/dog/b.JPEG"])
    images = open_images(tmp_path)
    assert list(images.splits) == ["train", "valid", "test"]
    assert images.splits["valid"].table["label"].tolist() == ["cat", "dog"]


def test_cinic_tells_the_origin(tmp_path):
    expected = write_tree(tmp_path / "cinic", CINIC_NAMES)
    images = open_images(tmp_path)
    assert (images.root, images.layout, images.classes) == (tmp_path / "cinic", "CINIC-10", CIFAR10)
    assert list(images.splits) == ["train", "valid", "test"]
    assert_holds(images, expected)
    for split in images.splits.values():
        table = split.table.set_index("filename")["source_label"]
        assert {name: "cifar10" if "cifar10-" in name else "imagenet" for name in table.index} == table.to_dict()


def test_cinic_needs_its_third_split(tmp_path):
    write_tree(tmp_path, [name for name in CINIC_NAMES if not name.startswith("valid")])
    with pytest.raises(DataError, match="is a CINIC-10, but there is no image valid/") as error:
        open_images(tmp_path)
    assert error.value.hint == "asc-mrkd download cinic10"


def test_a_folder_needs_train_and_test(tmp_path):
    write_tree(tmp_path, [name for name in TREE_NAMES if name.startswith("train")])
    assert is_image_set(tmp_path)
    with pytest.raises(DataError, match="there is no image test/") as error:
        open_images(tmp_path)
    assert "test/CLASS/*.png" in error.value.hint


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_text("<html>404</html>"), "cannot be read"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(100)), "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", ["train/NA/0.png", "train/dog/1.png", "test/cat/0.png"])
def test_damaged_images_are_named(tmp_path, damage, message, name):
    write_tree(tmp_path, TREE_NAMES)
    damage(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} {message}"):
        open_images(tmp_path)
    assert not (tmp_path / "asc-mrkd-cache").exists()


def test_an_image_of_another_size_is_named(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    write_image(tmp_path / "train/dog/0.png", size=(3, 4))
    with pytest.raises(DataError, match=r"4x3 as train/NA/0.png: train/dog/0.png is 3x4"):
        open_images(tmp_path)


def test_images_of_16_bit_are_not_clipped_in_silence(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    write_image(tmp_path / "train/dog/0.png", mode="I;16")
    with pytest.raises(DataError, match=r"train/dog/0\.png has more than 8 bits per channel"):
        open_images(tmp_path)


def test_ten_of_many_damaged_images_are_named(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    for k in range(10, 25):
        (tmp_path / f"train/cat/{k}.png").touch()
    with pytest.raises(DataError, match=r"train/cat/19.png cannot be read \(.*\); and 5 more$") as error:
        open_images(tmp_path)
    assert "train/cat/20.png" not in str(error.value)


def test_a_name_that_is_no_utf8(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    (tmp_path / "train/cat/0.png").rename(tmp_path / "train/cat/\udcff.png")
    with pytest.raises(DataError, match=r"not UTF-8, near .*train/cat/"):
        open_images(tmp_path)
