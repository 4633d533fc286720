"""A small feature store without audio, a small image set, their experiments, and links to built-in scenes."""

import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.store.layout import FeatureStore, create_or_continue, finish, open_store
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
    checksums = [zlib.crc32(row.tobytes()) for row in features]
    table = store.clips.assign(status="ok", frames=SPEC.frames, crc32=checksums)
    statistics = RunningStatistics(SPEC.n_mels)
    for row in table.loc[table["split"] == "train", "row"]:
        statistics.add(row_moments(features[row]))
    finish(store, table, statistics)
    return open_store(folder)


def write_experiment(path: Path, store: Path) -> Path:
    """Write an experiment for a store of `make_store`: a tiny CP-ResNet, MrKD with early backups."""
    values = {
        "data": {"store": str(store)},
        "model": {"name": "cp_resnet", "options": {"width": 4, "rho": 3, "blocks": [2, 1, 0]}},
        "method": {"name": "mrkd", "interval": 5},
        "augment": {"roll_frames": 4, "crop_frames": 24, "mixup": 0.3},
        "train": {"epochs": 6, "batch_size": 5, "optimizer": {"lr": 0.05}, "evaluate_every": 2},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def draw_images(folder: Path, per_class: int = 20, size: int = 12) -> Path:
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


def link_scenes(scenes: Path, parent: Path) -> Path:
    """Put built-in scenes into a folder as links to their files, and return their folder in it."""
    return shutil.copytree(scenes, parent / scenes.name, copy_function=os.link)
