"""What several parts share: a small feature store without audio, an experiment, a trained run, the command line."""

import fcntl
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from asc_mrkd.config import load_experiment
from asc_mrkd.datasets.synthetic import make_scenes
from asc_mrkd.engine.train import train
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.store.layout import FeatureStore, create_or_continue, write_statistics, write_table
from asc_mrkd.store.statistics import RunningStatistics, row_moments

SPEC = FrontendSpec(
    name="tiny", sample_rate=8000, channels=2, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24, fmax=4000.0
)
CLASSES = ["bus", "park", "tram"]


def make_store(folder: Path, clips_per_class: int = 8) -> FeatureStore:
    """Write a store of three classes that differ in a band and in a modulation."""
    rng = np.random.default_rng(0)
    rows = []
    for label in CLASSES:
        for i in range(clips_per_class):
            city, split = "paris" if i % 2 else "vienna", "train" if i < clips_per_class * 0.7 else "test"
            rows.append([f"audio/{label}-{city}-{i}-{i}-a.wav", label, f"{city}-{i}", "a", split])
    clips = pd.DataFrame(rows, columns=["filename", "label", "identifier", "source_label", "split"])
    store = create_or_continue(folder, clips, SPEC)
    features = np.load(folder / "features.npy", mmap_mode="r+")
    for row, label in enumerate(clips["label"]):
        x = rng.standard_normal(SPEC.shape)
        band = CLASSES.index(label)
        x[:, 8 * band : 8 * band + 8] += 1.5 + np.sin(np.arange(SPEC.frames) * (band + 1))
        features[row] = x
    features.flush()
    table = store.clips.assign(status="ok", frames=SPEC.frames)
    statistics = RunningStatistics(SPEC.n_mels)
    for row in table.loc[table["split"] == "train", "row"]:
        statistics.add(row_moments(features[row]))
    write_statistics(folder, statistics)
    write_table(folder, table)
    return store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """Folder of a small finished feature store."""
    folder = tmp_path_factory.mktemp("data") / "store"
    make_store(folder)
    return folder


def write_conf(path: Path, store: Path) -> Path:
    """Write an experiment for that store: a tiny CP-ResNet, MrKD with early backups."""
    values = {
        "data": {"store": str(store)},
        "model": {"name": "cp_resnet", "options": {"width": 4, "rho": 3, "blocks": [2, 1, 0]}},
        "method": {"name": "mrkd", "interval": 5},
        "augment": {"roll_frames": 4, "crop_frames": 24, "mixup": 0.3},
        "train": {"epochs": 6, "batch_size": 5, "optimizer": {"lr": 0.05}, "evaluate_every": 2},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def conf(store, tmp_path) -> Path:
    """An experiment file for the small store."""
    return write_conf(tmp_path / "conf.yaml", store)


@pytest.fixture(scope="session")
def trained(store, tmp_path_factory) -> Path:
    """A run folder of that experiment with one finished seed; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    train(load_experiment(write_conf(folder / "conf.yaml", store)), folder / "run", [0])
    return folder / "run"


def make_images(folder: Path, per_class: int = 20, size: int = 12) -> Path:
    """Write a tree of images of three classes that differ in the direction of a wave."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    for k, label in enumerate(["apple", "baby", "chair"]):
        for i in range(per_class):
            wave = np.sin((across, down, across + down)[k] * 1.5 + rng.uniform(0, 6.3))
            pixels = 128 + 60 * wave[:, :, None] * rng.uniform(0.5, 1, 3) + 25 * rng.standard_normal((size, size, 3))
            path = folder / ("test" if i % 5 == 0 else "train") / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Folder of a small image set: 48 training and 12 test images of 12 x 12."""
    return make_images(tmp_path_factory.mktemp("data") / "images")


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


@pytest.fixture(scope="session")
def built_in_scenes(tmp_path_factory) -> Path:
    """Folder of the 120 built-in scenes, made once for all processes that test; not to be changed."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with open(root / "scenes.txt", "a+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)  # who comes second waits, and reads here where the scenes are
        made.seek(0)
        folder = made.read()
        if not folder:
            folder = str(make_scenes(root / "scenes", clips_per_class=12, seed=0, workers=2))
            made.write(folder)
    return Path(folder)
