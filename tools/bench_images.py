"""Speed of training on images, against the plain way, in one run.

    python tools/bench_images.py                        # everything, on ResNet-20
    python tools/bench_images.py --network resnet56 --parts train,mrkd --rounds 7
    python tools/bench_images.py --network cp_resnet --parts precision --steps 4

The two sides of a line take turns, `--rounds` times; the figures are medians, the ratio is the median of the ratios of
the rounds. Every run adds its lines to a CSV file that names the machine.

train      the engine (images on the device, a batch cropped and flipped at once, `precision: auto`) against a plain
           script: contiguous float32, a DataLoader with workers, crop, flip and normalisation image by image
evaluate   10,000 images by views of the stored ones, against a DataLoader
precision  a step in `precision: auto` against one in contiguous float32
together   four seeds at once against one by one
mrkd       a step of cross-entropy against one of MrKD with three copies: the ratio is the cost of MrKD
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from asc_mrkd.config import Experiment
from asc_mrkd.data.samples import Samples, make_samples
from asc_mrkd.engine.device import choose_device, own_stream, use_threads
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.together import Training, all_at_once
from asc_mrkd.engine.trainer import Trainer
from asc_mrkd.models import MODELS, build_model
from asc_mrkd.schema import parse

CLASSES = 100


class PlainImages(Dataset):
    """Images one by one: crop, flip and normalisation as a script without the toolkit does them."""

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, augment: bool, mean: torch.Tensor, std: torch.Tensor
    ) -> None:
        self.pixels, self.labels, self.augment = torch.from_numpy(pixels), labels, augment
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.pixels[index].float() / 255
        if self.augment:
            top, left = torch.randint(0, 9, (2,)).tolist()
            image = F.pad(image, [4] * 4)[:, top : top + 32, left : left + 32]
            if torch.rand(()) < 0.5:
                image = image.flip(-1)
        return (image - self.mean) / self.std, int(self.labels[index])


@dataclass(frozen=True)
class Bench:
    """A network, random inputs of its usual size, and the ways to train and to evaluate it."""

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

    @property
    def workers(self) -> int:
        """Of the plain script: as many as its user would start."""
        return 8 if self.device.type == "cuda" else 2

    def inputs(self, count: int) -> np.ndarray:
        """Return random images (count, channel, height, width), uint8."""
        return np.random.default_rng(0).integers(0, 256, (count, *self.shape), dtype=np.uint8)

    def plain_images(self, count: int, augment: bool) -> PlainImages:
        """Return the same images for the plain script."""
        mean, std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)
        return PlainImages(self.inputs(count), np.arange(count) % CLASSES, augment, mean, std)

    def samples(self, count: int) -> Samples:
        """Return random images and labels on the device."""
        columns = {"filename": "", "label": np.arange(count) % CLASSES, "identifier": "", "source_label": ""}
        statistics = np.full((self.shape[0], 1, 1), 127.5), np.full((self.shape[0], 1, 1), 63.75)
        table, classes = pd.DataFrame(columns), list(range(CLASSES))
        return make_samples(self.inputs(count), np.arange(count), table, classes, statistics, self.device)

    def trainer(self, seed: int = 0, method: str = "ce", **options: object) -> Trainer:
        """Return the engine's trainer with an epoch of `steps` steps."""
        images = self.shape[0] == 3
        values = {
            "data": {"images" if images else "store": "random"},
            "model": {"name": self.network},
            "method": {"name": "mrkd", "interval": self.steps} if method == "mrkd" else method,
            "augment": {"pad": 4, "flip": True} if images else {},
            "train": {"epochs": 10_000, "batch_size": self.batch, "precision": "auto", **options},
        }
        return Trainer(parse(Experiment, values, "bench"), seed, self.samples(self.steps * self.batch), CLASSES)

    def plain_training(self) -> Callable[[], None]:
        """Return an epoch of the plain script."""
        model = build_model(self.network, CLASSES).to(self.device).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        images = self.plain_images(self.steps * self.batch, augment=True)
        loader = DataLoader(images, self.batch, shuffle=True, num_workers=self.workers, persistent_workers=True)

        def epoch() -> None:
            for x, y in loader:
                loss = F.cross_entropy(model(x.to(self.device)), y.to(self.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss.item()

        return epoch

    def plain_evaluation(self, count: int) -> Callable[[], None]:
        """Return a pass of the plain script over test images."""
        model = build_model(self.network, CLASSES).to(self.device).eval()
        images = self.plain_images(count, augment=False)
        loader = DataLoader(images, self.batch, num_workers=self.workers, persistent_workers=True)

        @torch.no_grad()
        def evaluate() -> None:
            torch.cat([model(x.to(self.device)).softmax(1).cpu() for x, _ in loader])

        return evaluate


@dataclass(frozen=True)
class Line:
    """Two things to run by turns, and how much each of them does."""

    ours: Callable[[], object]
    theirs: Callable[[], object]
    work: int
    unit: str


def train_line(bench: Bench) -> Line:
    trainer = bench.trainer()
    return Line(lambda: run_epoch(trainer), bench.plain_training(), bench.steps * bench.batch, "images/s")


def evaluate_line(bench: Bench) -> Line:
    count = 10_000
    student, samples = bench.trainer().student, bench.samples(count)
    return Line(lambda: predict(student, samples), bench.plain_evaluation(count), count, "images/s")


def precision_line(bench: Bench) -> Line:
    auto, plain = bench.trainer(), bench.trainer(precision="float32", channels_last=False)
    return Line(lambda: run_epoch(auto), lambda: run_epoch(plain), bench.steps, "steps/s")


def mrkd_line(bench: Bench) -> Line:
    ce, mrkd = bench.trainer(), bench.trainer(method="mrkd")
    for _ in range(3):  # until all copies are real
        run_epoch(mrkd)
    return Line(lambda: run_epoch(ce), lambda: run_epoch(mrkd), bench.steps, "steps/s")


def together_line(bench: Bench) -> Line:
    alone, at_once = ([bench.trainer(seed) for seed in range(4)] for _ in range(2))
    threads = 1 if bench.device.type == "cpu" else None

    def training(trainer: Trainer) -> Training:
        def run(*_: object) -> None:
            with own_stream(bench.device), use_threads(threads):
                run_epoch(trainer)

        return run

    def together() -> None:
        all_at_once([training(trainer) for trainer in at_once], lambda: None, lambda: False)

    return Line(together, lambda: [run_epoch(one) for one in alone], 4 * bench.steps * bench.batch, "images/s")


PARTS = {"train": train_line, "evaluate": evaluate_line, "precision": precision_line, "together": together_line,
         "mrkd": mrkd_line}  # fmt: skip


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20", choices=MODELS)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--steps", type=int, default=12, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("benchmarks.csv"))
    options = parser.parse_args()
    bench = Bench(options.network, choose_device(options.device), options.steps)
    machine = machine_name(bench.device)
    print(f"{options.network} on {machine}")
    print(f"{'':10} {'ours':>10} {'theirs':>10} {'unit':9} ratio (lowest to highest)")
    for part in options.parts.split(","):
        line = PARTS[part](bench)
        seconds = paired_seconds(line, options.rounds)
        ours, theirs = line.work / np.median(seconds, axis=0)
        low, ratio, high = np.quantile(seconds[:, 1] / seconds[:, 0], [0, 0.5, 1])
        print(f"{part:10} {ours:10.1f} {theirs:10.1f} {line.unit:9} {ratio:.2f} ({low:.2f} to {high:.2f})", flush=True)
        append(options.csv, {"benchmark": "images", "part": part, "network": options.network, "ours": round(ours, 1),
                             "theirs": round(theirs, 1), "unit": line.unit, "ratio": round(ratio, 2),
                             "machine": machine, "torch": torch.__version__, "date": date.today()})  # fmt: skip


def machine_name(device: torch.device) -> str:
    """Return what the figures depend on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"


def append(path: Path, values: dict[str, object]) -> None:
    """Add a line to the CSV file."""
    pd.DataFrame([values]).to_csv(path, mode="a", header=not path.exists(), index=False)


if __name__ == "__main__":
    main()
