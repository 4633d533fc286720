"""Small data and a trained run that the tests of several rooms share."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import yaml
from helpers.data import draw_images, make_store, write_experiment

from asc_mrkd import workers
from asc_mrkd.config import load_experiment
from asc_mrkd.datasets.synthetic import make_scenes
from asc_mrkd.engine.sweeps import SLOW_IMPORTS
from asc_mrkd.engine.training import train


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files of this folder; test_workers.py, which kills the fork server, stays at the end."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != here or item.path.name == "test_workers.py")


@pytest.fixture(scope="session", autouse=True)
def server_of_all_pools() -> Iterator[None]:
    """Let the first pool of a test process import what trainings need, too: all its pools have one server."""
    with mock.patch.object(workers, "PRELOADED", (*workers.PRELOADED, *SLOW_IMPORTS)):
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """Folder of a small finished feature store."""
    folder = tmp_path_factory.mktemp("data") / "store"
    make_store(folder)
    return folder


@pytest.fixture
def conf(store, tmp_path) -> Path:
    """An experiment file for the small store."""
    return write_experiment(tmp_path / "conf.yaml", store)


@pytest.fixture(scope="session")
def trained(store, tmp_path_factory) -> Path:
    """A run folder of that experiment with one finished seed; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    train(load_experiment(write_experiment(folder / "conf.yaml", store)), folder / "run", [0])
    return folder / "run"


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Folder of a small image set: 48 training and 12 test images of 12 x 12."""
    return draw_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="session")
def image_values(images) -> dict:
    """An experiment for the small image set: a narrow ResNet-8, MrKD with early backups."""
    return {
        "data": {"images": str(images)},
        "model": {"name": "resnet20", "options": {"depth": 8, "width": 4}},
        "method": {"name": "mrkd", "interval": 5},
        "augment": {"pad": 2, "flip": True},
        "train": {"epochs": 4, "batch_size": 10, "optimizer": {"lr": 0.05, "weight_decay": 1e-4}, "threads": 1},
    }


@pytest.fixture
def image_conf(image_values, tmp_path) -> Path:
    """The file of that experiment."""
    path = tmp_path / "images.yaml"
    path.write_text(yaml.safe_dump(image_values))
    return path


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Leave the pictures of a report blank, where a test is about its words."""
    monkeypatch.setattr("asc_mrkd.report.plots.png", lambda figure: b"")


@pytest.fixture(scope="session")
def built_in_scenes(tmp_path_factory) -> Path:
    """Folder of the 120 built-in scenes; not to be changed."""
    return make_scenes_once(tmp_path_factory, "scenes", clips_per_class=12)


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory) -> Path:
    """Folder of 20 built-in scenes, two per class; not to be changed."""
    return make_scenes_once(tmp_path_factory, "few_scenes", clips_per_class=2)


def make_scenes_once(tmp_path_factory, name: str, clips_per_class: int) -> Path:
    """Make built-in scenes once for all processes that test."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with open(root / f"{name}.txt", "a+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)  # who comes second waits, and reads here where the scenes are
        made.seek(0)
        folder = made.read()
        if not folder:
            folder = str(make_scenes(root / name, clips_per_class, seed=0, workers=2))
            made.write(folder)
    return Path(folder)
