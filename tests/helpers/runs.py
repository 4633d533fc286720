"""Made-up run folders and a made-up feature store, written as the engine and the extraction write them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from asc_mrkd.config import save_experiment
from asc_mrkd.evaluation import RunSummary, evaluate
from asc_mrkd.methods import load_experiment
from asc_mrkd.store.layout import write_sums

PREDICTIONS = """\
filename,label,identifier,source_label,prediction,bus,park,tram
audio/bus-lyon-1-a.wav,bus,lyon-1,a,bus,0.5,0.25,0.25
audio/bus-lyon-2-b.wav,bus,lyon-2,b,tram,0.25,0.25,0.5
audio/bus-oslo-east-3-s4.wav,bus,oslo-east-3,s4,bus,1.0,0.0,0.0
audio/park-lyon-4-a.wav,park,lyon-4,a,park,0.0,1.0,0.0
audio/tram-lyon-5-a.wav,tram,lyon-5,a,bus,1.0,0.0,0.0
"""
"""Three of five clips are right; the last one gives its class no probability at all."""

CONFIG = """\
data: {store: exp/store}
method: mrkd
augment: {mixup: 0.2}
train: {epochs: 2, batch_size: 10}
seeds: [0, 1]
"""

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
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    save_experiment(load_experiment(config), config)  # with the defaults of the method, as the engine leaves it
    (folder / "environment.json").write_text(json.dumps({"python": "3.11.2", "packages": {"torch": "2.11.0"}}))
    lines = []
    for seed in range(seeds):
        table = draw_predictions(
            np.random.default_rng([seed, len(str(method))]), skill, classes, clips_per_class, prefix
        )
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


def draw_predictions(
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


def write_feature_store(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
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
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in sorted(classes)))
    write_sums(folder)
    return folder


def write_small_run(folder: Path) -> Path:
    """Write a run small enough to score by hand: seed 0 is finished, seed 1 is not, and the log ends in a torn line."""
    (folder / "seed0").mkdir(parents=True)
    (folder / "seed0" / "predictions.csv").write_text(PREDICTIONS)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "metrics.jsonl").write_text(
        '{"seed": 0, "epoch": 1, "loss": 1.5, "ce": 1.0, "kd": 0.5, "train_accuracy": 0.5, "test_accuracy": 0.8}\n'
        '{"seed": 0, "epoch": 2, "loss": 9.9, "ce": 9.0, "kd": 0.4, "train_accuracy": 0.1}\n'
        '{"seed": 0, "epoch": 2, "loss": 1.2, "ce": 0.8, "kd": 0.4, "train_accuracy": 0.7, "test_accuracy": 0.6}\n'
        '{"seed": 1, "epoch": 1, "lo'
    )
    return folder


def write_answers(
    folder: Path, right, method: str = "ce", seeds: Sequence[int] = (), locations: Sequence[str] = ()
) -> RunSummary:
    """Write a run on clips of two classes from the answers of each seed, and score it.

    `right` is a table of 0 and 1, a row per seed and a column per clip; `locations` names the location of every clip.
    """
    right = np.asarray(right)
    for seed, row in zip(seeds or range(len(right)), right, strict=True):
        lines = ["filename,label,identifier,source_label,prediction,bus,tram"]
        for clip, (answer, location) in enumerate(zip(row, locations or [""] * len(row), strict=True)):
            lines.append(f"{clip:05}-{location}-a.wav,bus,{location},a,{'bus,1,0' if answer else 'tram,0,1'}")
        (folder / f"seed{seed}").mkdir(parents=True)
        (folder / f"seed{seed}" / "predictions.csv").write_text("\n".join(lines))
    (folder / "config.yaml").write_text(
        f"data: {{store: exp/store}}\nmethod: {method}\ntrain: {{epochs: 2, batch_size: 10}}\nseeds: [0]\n"
    )
    (folder / "metrics.jsonl").write_text("")
    return evaluate(folder)
