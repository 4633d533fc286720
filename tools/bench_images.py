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
mrkd       a step of cross-entropy against one of MrKD with three backups: the ratio is the cost of MrKD
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from benchmark import CLASSES, Bench, Line, append, machine_name, paired_seconds, parser_of, ratio_of, run_epoch, speeds
from torch.utils.data import DataLoader, Dataset

from asc_mrkd.engine.inference import predict
from asc_mrkd.models import build_model


class PlainImages(Dataset):
    """Images one by one: crop, flip and normalisation as a script without the toolkit does them."""

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, augment: bool, mean: torch.Tensor, std: torch.Tensor
    ) -> None:
        self.pixels = torch.from_numpy(pixels)
        self.labels = labels
        self.augment = augment
        self.mean = mean
        self.std = std

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


def workers(bench: Bench) -> int:
    """Return the number of loading processes that the user of a plain script would start."""
    return 8 if bench.device.type == "cuda" else 2


def plain_images(bench: Bench, count: int, augment: bool) -> PlainImages:
    """Return the same images for the plain script."""
    mean = torch.full((3, 1, 1), 0.5)
    std = torch.full((3, 1, 1), 0.25)
    return PlainImages(bench.inputs(count), np.arange(count) % CLASSES, augment, mean, std)


def plain_training(bench: Bench) -> Callable[[], None]:
    """Return an epoch of the plain script."""
    model = build_model(bench.network, CLASSES).to(bench.device).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    images = plain_images(bench, bench.steps * bench.batch, augment=True)
    loader = DataLoader(images, bench.batch, shuffle=True, num_workers=workers(bench), persistent_workers=True)

    def epoch() -> None:
        for x, y in loader:
            loss = F.cross_entropy(model(x.to(bench.device)), y.to(bench.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()

    return epoch


def plain_evaluation(bench: Bench, count: int) -> Callable[[], None]:
    """Return a pass of the plain script over test images."""
    model = build_model(bench.network, CLASSES).to(bench.device).eval()
    images = plain_images(bench, count, augment=False)
    loader = DataLoader(images, bench.batch, num_workers=workers(bench), persistent_workers=True)

    @torch.no_grad()
    def evaluate() -> None:
        torch.cat([model(x.to(bench.device)).softmax(1).cpu() for x, _ in loader])

    return evaluate


def train_line(bench: Bench) -> Line:
    trainer = bench.trainer()
    return Line(lambda: run_epoch(trainer), plain_training(bench), bench.steps * bench.batch, "images/s")


def evaluate_line(bench: Bench) -> Line:
    count = 10_000
    student = bench.trainer().student
    samples = bench.samples(count)
    return Line(lambda: predict(student, samples), plain_evaluation(bench, count), count, "images/s")


def precision_line(bench: Bench) -> Line:
    auto = bench.trainer()
    plain = bench.trainer(precision="float32", channels_last=False)
    return Line(lambda: run_epoch(auto), lambda: run_epoch(plain), bench.steps, "steps/s")


def mrkd_line(bench: Bench) -> Line:
    ce = bench.trainer()
    mrkd = bench.trainer(method={"name": "mrkd", "interval": bench.steps})
    for _ in range(3):  # until all backups are real
        run_epoch(mrkd)
    return Line(lambda: run_epoch(ce), lambda: run_epoch(mrkd), bench.steps, "steps/s")


PARTS = {
    "train": train_line,
    "evaluate": evaluate_line,
    "precision": precision_line,
    "mrkd": mrkd_line,
}


def main() -> None:
    parser = parser_of(__doc__, steps=12)
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    bench = Bench(options.network, options.device, options.steps)
    print(f"{options.network} on {machine_name(bench.device)}")
    print(f"{'':10} {'ours':>10} {'theirs':>10} {'unit':9} ratio (lowest to highest)")
    for part in options.parts.split(","):
        line = PARTS[part](bench)
        seconds = paired_seconds(line, options.rounds)
        ours, theirs = speeds(line, seconds)
        ratio, low, high = ratio_of(seconds)
        print(f"{part:10} {ours:10.1f} {theirs:10.1f} {line.unit:9} {ratio:.2f} ({low:.2f} to {high:.2f})", flush=True)
        append(options.csv, bench, "images", part, ours, theirs, line.unit, ratio)


if __name__ == "__main__":
    main()
