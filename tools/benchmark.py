"""Parts that the benchmarks share: a network on random inputs, two sides by turns, and the CSV file of the results."""

import argparse
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from asc_mrkd.config import Experiment
from asc_mrkd.device import choose_device
from asc_mrkd.engine.samples import Samples, make_samples
from asc_mrkd.engine.trainer import Trainer
from asc_mrkd.models import MODELS
from asc_mrkd.schema import parse

CLASSES = 100


@dataclass(frozen=True)
class Bench:
    """A network on random inputs of its usual size, where it runs, and how many steps a round has."""

    network: str
    device: torch.device
    steps: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an input: an image, or a stereo spectrogram."""
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
        statistics = np.full((self.shape[0], 1, 1), 127.5), np.full((self.shape[0], 1, 1), 63.75)
        table, classes = pd.DataFrame(columns), list(range(CLASSES))
        return make_samples(self.inputs(count), np.arange(count), table, classes, statistics, self.device)

    def trainer(self, seed: int = 0, method: Mapping[str, object] | str = "ce", **options: object) -> Trainer:
        """Return the engine's trainer with an epoch of `steps` steps; `options` are those of the section `train`."""
        images = self.shape[0] == 3
        values = {
            "data": {"images" if images else "store": "random"},
            "model": {"name": self.network},
            "method": method,
            "augment": {"pad": 4, "flip": True} if images else {},
            "train": {"epochs": 10_000, "batch_size": self.batch, "precision": "auto", **options},
        }
        return Trainer(parse(Experiment, values, "bench"), seed, self.samples(self.steps * self.batch), CLASSES)


@dataclass(frozen=True)
class Line:
    """Two things to run by turns, and how much each of them does."""

    ours: Callable[[], object]
    theirs: Callable[[], object]
    work: int
    unit: str


def run_epoch(trainer: Trainer) -> None:
    """Train an epoch; for its averages the host waits for the device."""
    trainer.train_epoch(lambda: None, lambda: False)


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
    """Return what each side does in a second, in the median round."""
    ours, theirs = line.work / np.median(seconds, axis=0)
    return float(ours), float(theirs)


def ratio_of(seconds: np.ndarray) -> tuple[float, float, float]:
    """Return the seconds of theirs over those of ours, round by round: median, lowest and highest."""
    low, median, high = np.quantile(seconds[:, 1] / seconds[:, 0], [0, 0.5, 1])
    return float(median), float(low), float(high)


def parser_of(page: str | None, steps: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark; `steps` is the default of a round."""
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20", choices=MODELS)
    parser.add_argument("--steps", type=int, default=steps, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=choose_device, default="auto")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("benchmarks.csv"))
    return parser


def machine_name(device: torch.device) -> str:
    """Return what the figures depend on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def append(path: Path, bench: Bench, benchmark: str, part: str, sides: tuple[float, float, str], ratio: float) -> None:
    """Add a line to the CSV file; `sides` are the figures of ours and theirs, and their unit."""
    ours, theirs, unit = sides
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
