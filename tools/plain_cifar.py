"""Train on a CIFAR set the plain way, as a comparison for the engine.

    python tools/plain_cifar.py data/cifar-100-python --subset 10000 --epochs 10 --seeds 0,1
    asc-mrkd train recipes/cifar100/conf/paper.yaml model.name=resnet20 method=ce data.images=data/cifar-100-python \
        data.subset=10000 train.epochs=10 --out exp/short --seeds 0-1

Both train the same images with the paper's settings; here in contiguous float32 with a DataLoader, image by image.
"""

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from bench_images import PlainImages
from torch.utils.data import DataLoader

from asc_mrkd.datasets.images import ImageSplit, channel_statistics, open_images, stratified
from asc_mrkd.engine.data.samples import SUBSET_SEED
from asc_mrkd.models import build_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--subset", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    images = open_images(options.data)
    train = images.splits["train"]
    test = images.splits["test"]
    rows = stratified(train.table["label"].to_numpy(), options.subset, SUBSET_SEED)
    train = ImageSplit(train.pixels[rows], train.table.iloc[rows])
    statistics = [torch.from_numpy(values).float().view(3, 1, 1) / 255 for values in channel_statistics(train.pixels)]
    for seed in map(int, options.seeds.split(",")):
        torch.manual_seed(seed)
        model = build_model(options.network, len(images.classes))
        start = time.perf_counter()
        loader = loader_of(train, images.classes, statistics, is_train=True)
        test_loader = loader_of(test, images.classes, statistics, is_train=False)
        train_loss = fit(model, loader, options.epochs)
        seconds = time.perf_counter() - start
        print(
            f"seed {seed}: test accuracy {accuracy(model, test_loader):.4f}, "
            f"training loss of the last epoch {train_loss:.4f}, {seconds:.0f} s",
            flush=True,
        )


def loader_of(split: ImageSplit, classes: list[str], statistics: list[torch.Tensor], is_train: bool) -> DataLoader:
    """Return batches of 128; those for training are shuffled and augmented."""
    labels = np.searchsorted(classes, split.table["label"])
    images = PlainImages(split.pixels.copy(), labels, is_train, *statistics)
    return DataLoader(images, 128, shuffle=is_train, num_workers=2, persistent_workers=True)


def fit(model: torch.nn.Module, loader: DataLoader, epochs: int) -> float:
    """Train with SGD, 0.1 linearly to 0, and return the mean loss of the last epoch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(epochs):
        losses = []
        for x, y in loader:
            loss = F.cross_entropy(model.train()(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def accuracy(model: torch.nn.Module, loader: DataLoader) -> float:
    """Return the share of test images that are classified correctly."""
    right = [(model.eval()(x).argmax(1) == y).float() for x, y in loader]
    return torch.cat(right).mean().item()


if __name__ == "__main__":
    main()
