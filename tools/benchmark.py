"""Shared parts of the benchmarks: a network on random inputs, two sides by turns, and the CSV file of the results."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from asc_mrkd.config import Experiment
from asc_mrkd.device import choose_device
from asc_mrkd.engine.data.samples import Samples, make_samples
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.models import MODELS
from asc_mrkd.runs.folder import processor_name
from asc_mrkd.schema import parse

CLASSES = 100


@dataclass(frozen=True)
class Bench:
    """A network on random inputs of its usual size."""

    network: str
    """Name of the network."""
    device: torch.device
    """Device that it runs on."""
    steps: int
    """Training steps per round."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the network that differ from its defaults."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an input: an image, or a stereo spectrogram."""
        plane = MODELS[self.network].plane
        return (3, *plane) if plane == (32, 32) else (2, *plane)

    @property
    def batch(self) -> int:
        """The paper's batch size."""
        return 128 if self.shape[0] == 3 else 10

    def inputs(self, count: int) -> np.ndarray:
        """Return random images (count, channel, height, width), uint8."""
        return np.random.default_rng(0).integers(0, 256, (count, *self.shape), dtype=np.uint8)

    def samples(self, count: int) -> Samples:
        """Return random images and labels on the device."""
        columns = {"filename": "", "label": np.arange(count) % CLASSES, "identifier": "", "source_label": ""}
        mean = np.full((self.shape[0], 1, 1), 127.5)
        std = np.full((self.shape[0], 1, 1), 63.75)
        classes = list(range(CLASSES))
        rows = np.arange(count)
        return make_samples(self.inputs(count), rows, pd.DataFrame(columns), classes, (mean, std), self.device)

    def trainer(
        self, seed: int = 0, method: Mapping[str, object] | str = "ce", augmented: bool = True, **options: object
    ) -> Trainer:
        """Return the engine's trainer with an epoch of `steps` steps.

        Args:
            seed: seed of the run.
            method: section `method`.
            augmented: whether images are cropped and flipped.
            options: options of the section `train`.
        """
        images = self.shape[0] == 3
        values = {
            "data": {"images" if images else "store": "random"},
            "model": {"name": self.network, "options": dict(self.options)},
            "method": method,
            "augment": {"pad": 4, "flip": True} if images and augmented else {},
            "train": {"epochs": 10_000, "batch_size": self.batch, "precision": "auto", **options},
        }
        return Trainer(parse(Experiment, values, "bench"), seed, self.samples(self.steps * self.batch), CLASSES)


@dataclass(frozen=True)
class Line:
    """A line of the table: two functions that run by turns."""

    ours: Callable[[], object]
    """Function of the toolkit."""
    theirs: Callable[[], object]
    """Function that it is compared with."""
    work: int
    """Work of one call, such as the number of images."""
    unit: str
    """Unit of the speed, such as images/s."""


def run_epoch(trainer: Trainer) -> None:
    """Train an epoch; for its averages the host waits for the device."""
    trainer.train_epoch(lambda amount, note: None, lambda: False)


def paired_seconds(line: Line, rounds: int) -> np.ndarray:
    """Return the seconds (round, side) of both sides by turns, after a round that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        marks = [time.perf_counter()]
        for run in (line.ours, line.theirs):
            run()
            marks.append(time.perf_counter())
        seconds.append(np.diff(marks))
    return np.array(seconds[1:])


def speeds(line: Line, seconds: np.ndarray) -> tuple[float, float]:
    """Return the speed of each side in the median round: work per second."""
    ours, theirs = line.work / np.median(seconds, axis=0)
    return float(ours), float(theirs)


def ratio_of(seconds: np.ndarray) -> tuple[float, float, float]:
    """Return how many times longer theirs takes than ours: median, lowest and highest of the rounds."""
    low, median, high = np.quantile(seconds[:, 1] / seconds[:, 0], [0, 0.5, 1])
    return float(median), float(low), float(high)


def parser_of(page: str | None, steps: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark; `steps` is the default of a round."""
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20", choices=MODELS)
    parser.add_argument("--steps", type=int, default=steps, help="steps per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=choose_device, default="auto")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("benchmarks.csv"))
    return parser


def machine_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the processor with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.get_num_threads()} threads"


def append(
    path: Path, bench: Bench, benchmark: str, part: str, ours: float, theirs: float, unit: str, ratio: float
) -> None:
    """Add a line to the CSV file: the figures of both sides, their unit and the ratio."""
    values = {
        "benchmark": benchmark,
        "part": part,
        "network": bench.network,
        "ours": round(ours, 1),
        "theirs": round(theirs, 1),
        "unit": unit,
        "ratio": round(ratio, 2),
        "machine": machine_name(bench.device),
        "torch": torch.__version__,
        "date": date.today(),
    }
    pd.DataFrame([values]).to_csv(path, mode="a", header=not path.exists(), index=False)
