"""Made-up run folders and a made-up feature store, written as the engine and the extraction write them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

CLASSES = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)
CITIES = ("barcelona", "helsinki", "lyon", "prague")
DEVICES = ("a", "b", "s4")


def write_run(
    folder: Path,
    method: str | dict = "ce",
    seeds: int = 4,
    skill: float = 1.0,
    classes: tuple[str, ...] = CLASSES,
    mixup: float = 0.0,
    clips_per_class: int = 12,
    epochs: int = 10,
    prefix: str = "audio/",
    images: bool = False,
) -> Path:
    """Write a finished run; `skill` is how far the logit of the true class stands out.

    Five image classes make a superclass, and every other image comes from ImageNet: CIFAR-100 and CINIC-10 in one.
    """
    folder.mkdir(parents=True)
    settings = {
        "data": {"images": "data/images"} if images else {"store": "exp/store"},
        "method": method,
        "augment": {"mixup": mixup},
        "train": {"epochs": epochs, "batch_size": 10},
        "seeds": list(range(seeds)),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11.2", "packages": {"torch": "2.11.0"}}))
    lines = []
    for seed in range(seeds):
        table = predictions(np.random.default_rng([seed, len(str(method))]), skill, classes, clips_per_class, prefix)
        if images:
            superclasses = {name: f"group_{number // 5}" for number, name in enumerate(classes)}
            origin = np.array(["cifar10", "imagenet"])[np.arange(len(table)) % 2]
            table = table.assign(identifier=table["label"].map(superclasses), source_label=origin)
        (folder / f"seed{seed}").mkdir()
        table.to_csv(folder / f"seed{seed}" / "predictions.csv", index=False)
        accuracy = float((table["prediction"] == table["label"]).mean())
        for epoch in range(1, epochs + 1):
            loss = 2.3 * 0.8**epoch + 0.05 * seed
            record = {
                "seed": seed,
                "epoch": epoch,
                "epochs": epochs,
                "step": 8 * epoch,
                "lr": 1e-4,
                "loss": loss,
                "ce": 0.9 * loss,
                "train_accuracy": 1 - 0.9 * 0.8**epoch,
                "seconds": 1.0,
            }
            if epoch % 2 == 0:
                record |= {"test_accuracy": accuracy * (1 - 0.8**epoch) / (1 - 0.8**epochs), "test_log_loss": loss}
            lines.append(json.dumps(record) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def predictions(
    rng: np.random.Generator, skill: float, classes: tuple[str, ...], clips_per_class: int, prefix: str
) -> pd.DataFrame:
    """Draw the predictions of one seed; clip i of a class has city and device number i."""
    labels = np.repeat(np.arange(len(classes)), clips_per_class)
    number = np.tile(np.arange(clips_per_class), len(classes))
    logits = rng.normal(size=(len(labels), len(classes))) + skill * np.eye(len(classes))[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cities = np.array(CITIES)[number % len(CITIES)]
    devices = np.array(DEVICES)[number % len(DEVICES)]
    table = pd.DataFrame(
        {
            "filename": [
                f"{prefix}{classes[k]}-{c}-{n}-{d}.wav"
                for k, c, n, d in zip(labels, cities, number, devices, strict=True)
            ],
            "label": np.array(classes)[labels],
            "identifier": [f"{city}-{n}" for city, n in zip(cities, number, strict=True)],
            "source_label": devices,
            "prediction": np.array(classes)[probabilities.argmax(axis=1)],
        }
    )
    return pd.concat([table, pd.DataFrame(probabilities, columns=list(classes))], axis=1)


def write_store(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write a small feature store: two clips of every class, noise under a band that climbs with the class."""
    folder.mkdir(parents=True)
    spec = {
        "name": "tiny",
        "sample_rate": 22050,
        "channels": 1,
        "clip_seconds": 1.0,
        "n_fft": 2048,
        "hop_length": 512,
        "n_mels": 32,
        "fmin": 0.0,
        "fmax": 11025.0,
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    rows, frames = 2 * len(classes), 1 + 22050 // 512
    features = np.random.default_rng(0).normal(-5, 1, size=(rows, 1, 32, frames)).astype(np.float16)
    for row in range(rows):
        features[row, 0, 1 + row : 4 + row] += 4
    np.save(folder / "features.npy", features)
    labels = list(classes) * 2
    pd.DataFrame(
        {
            "row": range(rows),
            "filename": [f"audio/{row}.wav" for row in range(rows)],
            "label": labels,
            "identifier": "lyon-1",
            "source_label": "a",
            "split": "test",
            "frames": frames,
            "status": "ok",
            "reason": "",
            "crc32": 0,
        }
    ).to_csv(folder / "clips.csv", index=False)
    np.savez(folder / "stats.npz", mean=np.zeros(32), std=np.ones(32))
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """CE and MrKD, four seeds each."""
    folder = tmp_path_factory.mktemp("exp")
    return [write_run(folder / "ce", skill=1.5), write_run(folder / "mrkd", "mrkd", skill=2.0)]


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Give the tests `write_run`."""
    return write_run


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small feature store."""
    return write_store(tmp_path_factory.mktemp("features") / "store")
