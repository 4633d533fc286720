"""A run small enough to score by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from asc_mrkd.evaluation import RunSummary, evaluate

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


@pytest.fixture
def predictions_file(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    path.write_text(PREDICTIONS)
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Seed 0 is finished, seed 1 is not; the last line of its metrics is torn."""
    folder = tmp_path / "run"
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


@pytest.fixture
def scene_run(tmp_path: Path) -> Callable[..., RunSummary]:
    """Return a function that writes a run of two classes from what each seed has right, and summarises it.

    `right` is a table of 0 and 1, a row per seed and a column per clip; `locations` names the location of every clip.
    """

    def write(name: str, right, method: str = "ce", seeds: Sequence[int] = (), locations: Sequence[str] = ()):
        right = np.asarray(right)
        folder = tmp_path / name
        for seed, row in zip(seeds or range(len(right)), right, strict=True):
            lines = ["filename,label,identifier,source_label,prediction,bus,tram"]
            for clip, (answer, location) in enumerate(zip(row, locations or [""] * len(row), strict=True)):
                lines.append(f"{clip:05}.wav,bus,{location},a,{'bus,1,0' if answer else 'tram,0,1'}")
            (folder / f"seed{seed}").mkdir(parents=True)
            (folder / f"seed{seed}" / "predictions.csv").write_text("\n".join(lines))
        (folder / "config.yaml").write_text(
            f"data: {{store: exp/store}}\nmethod: {method}\ntrain: {{epochs: 2, batch_size: 10}}\nseeds: [0]\n"
        )
        (folder / "metrics.jsonl").write_text("")
        return evaluate(folder)

    return write
