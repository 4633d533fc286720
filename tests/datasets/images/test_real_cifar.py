"""The official sets themselves, where they are on this machine."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asc_mrkd.datasets.images import ImageSet, channel_statistics, open_images
from asc_mrkd.datasets.images.check import check_images

SHARED = Path(os.environ.get("ASC_MRKD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data")) / "cifar"

DATA = Path(os.environ.get("ASC_MRKD_DATA", Path(__file__).parents[3] / "data"))
"""Where `asc-mrkd download` puts the sets by default."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    if not SHARED.is_dir():
        pytest.skip("CIFAR-100 is not on this machine, see ASC_MRKD_SHARED_DATA")
    folder = tmp_path_factory.mktemp("cifar")
    subprocess.run([sys.executable, SHARED / "expand_cifar.py", SHARED, folder], check=True)
    return open_images(folder)


def test_shapes_and_counts(images):
    assert (images.layout, len(images.classes)) == ("CIFAR-100", 100)
    assert {name: split.pixels.shape for name, split in images.splits.items()} == {
        "train": (50_000, 3, 32, 32),
        "test": (10_000, 3, 32, 32),
    }
    for name, per_class in {"train": 500, "test": 100}.items():
        table = images.splits[name].table
        assert set(table["label"].value_counts()) == {per_class}
        assert set(table["identifier"].value_counts()) == {5 * per_class}
        assert (table.groupby("label")["identifier"].nunique() == 1).all()


def test_the_published_statistics(images):
    mean, std = channel_statistics(images.splits["train"].pixels)
    np.testing.assert_allclose(mean / 255, [0.50707516, 0.48654887, 0.44091784], atol=1e-7, rtol=0)
    np.testing.assert_allclose(std / 255, [0.26733429, 0.25643846, 0.27615047], atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("split", "position", "label", "superclass", "digest"),
    [
        (
            "train",
            0,
            "cattle",
            "large_omnivores_and_herbivores",
            "08d8f38d4d5745365d4d81cbe3d270b236c17e656bc474574f0e73275bb147fc",
        ),
        ("train", 49_999, "shark", "fish", "b087406ec542bef83b55337ab12864a8424f22b66ff95d7fc4b033c02e1578c9"),
        (
            "test",
            0,
            "mountain",
            "large_natural_outdoor_scenes",
            "6d0c4e6eb3dbab0973d9c391d5abd0b8ce05db72c6725039d705ff8c1120df43",
        ),
    ],
)
def test_images_are_in_their_official_places(images, split, position, label, superclass, digest):
    found = images.splits[split]
    assert found.table.iloc[position].tolist() == [f"{split}/{position:05d}", label, superclass, ""]
    assert hashlib.sha256(found.pixels[position].tobytes()).hexdigest() == digest


def test_the_known_duplicates_are_found(images):
    found = check_images(images)
    assert not [finding for finding in found if finding.severity == "error"]
    duplicates = [finding.detail for finding in found if finding.code == "duplicate_images"]
    assert [detail.partition(",")[0] for detail in duplicates] == ["10 distinct images are in train too"]
    assert not [finding for finding in found if finding.code == "one_colour"]


@pytest.mark.parametrize(
    ("folder", "per_class", "mean", "std"),
    [
        (
            "cifar-10-batches-py",
            {"train": 5000, "test": 1000},
            [0.49139968, 0.48215841, 0.44653091],
            [0.24703223, 0.24348513, 0.26158784],
        ),
        (
            "CINIC-10",
            {"train": 9000, "valid": 9000, "test": 9000},
            [0.47889522, 0.47227842, 0.43047404],
            [0.24205776, 0.23828046, 0.25874835],
        ),
    ],
)
def test_balance_and_statistics_of_downloaded_sets(folder, per_class, mean, std):
    if not (DATA / folder).is_dir():
        pytest.skip(f"{folder} is not on this machine, see ASC_MRKD_DATA")
    found = open_images(DATA / folder)
    assert {name: set(split.table["label"].value_counts()) for name, split in found.splits.items()} == {
        name: {count} for name, count in per_class.items()
    }
    ours = channel_statistics(found.splits["train"].pixels)
    np.testing.assert_allclose(np.array(ours) / 255, [mean, std], atol=1e-6, rtol=0)
