"""Training batches: order, time shift, crop and Mixup, each drawn as a function of (seed, epoch, sample)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.data.samples import Samples
from asc_mrkd.draws import generator
from asc_mrkd.mrkd.labels import Labels, MixedLabels


@dataclass(frozen=True)
class BatchKey:
    """Which samples of which epoch: everything that a draw may depend on.

    Attributes:
        seed: of the run.
        epoch: of the run, from 0.
        count: samples of the data set.
        positions: the samples of this batch (batch,).
    """

    seed: int
    epoch: int
    count: int
    positions: np.ndarray

    def integers(self, purpose: str, low: int, high: int) -> np.ndarray:
        """Draw an integer in [low, high) for every sample of the batch."""
        return generator(purpose, self.seed, self.epoch).integers(low, high, self.count)[self.positions]

    def beta(self, purpose: str, a: float) -> np.ndarray:
        """Draw from Beta(a, a) for every sample of the batch."""
        return generator(purpose, self.seed, self.epoch).beta(a, a, self.count)[self.positions]

    def permutation(self, purpose: str) -> np.ndarray:
        """Draw an order of the batch; its first sample, which no other batch of the epoch has, names the batch."""
        return generator(purpose, self.seed, self.epoch, int(self.positions[0])).permutation(len(self.positions))


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[BatchKey]:
    """Return the batches of an epoch in a random order of the samples; the last, shorter batch is kept.

    >>> [len(key.positions) for key in epoch_batches(25, 10, seed=0, epoch=0)]
    [10, 10, 5]
    """
    order = generator("order", seed, epoch).permutation(count)
    return [BatchKey(seed, epoch, count, order[i : i + batch_size]) for i in range(0, count, batch_size)]


def training_batch(samples: Samples, key: BatchKey, augment: AugmentConfig) -> tuple[Tensor, Labels]:
    """Return the augmented inputs (batch, channel, mel, frame) and their labels."""
    x = samples.normalise(time_window(samples.read(key.positions), augment, key))
    labels = samples.labels[torch.from_numpy(key.positions).to(samples.labels.device)]
    return mixup(x, labels, augment, key) if augment.mixup else (x, labels)


def time_window(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Shift every sample circularly in time and cut its training stretch: (batch, channel, mel, frame), one gather."""
    frames = x.shape[-1]
    length = min(augment.crop_frames or frames, frames)
    if length == frames and not augment.roll_frames:
        return x
    shift = key.integers("roll", -augment.roll_frames, augment.roll_frames + 1)
    start = key.integers("crop", 0, frames - length + 1)
    first = torch.from_numpy(start - shift).to(x.device)
    index = (first[:, None] + torch.arange(length, device=x.device)) % frames
    return x.gather(3, index[:, None, None, :].expand(-1, x.shape[1], x.shape[2], -1))


def mixup(x: Tensor, labels: Tensor, augment: AugmentConfig, key: BatchKey) -> tuple[Tensor, MixedLabels]:
    """Mix every sample with another one of its batch, with a weight of its own from Beta (Zhang et al. 2018).

    With `mixup_fold` the weight is max(w, 1 - w), as in CP-JKU's code: the sample itself dominates.
    """
    weights = key.beta("mixup", augment.mixup)
    if augment.mixup_fold:
        weights = np.maximum(weights, 1 - weights)
    partner = torch.from_numpy(key.permutation("partner")).to(x.device)
    weight = torch.from_numpy(weights).to(x)
    share = weight.view(-1, *[1] * (x.dim() - 1))
    return share * x + (1 - share) * x[partner], MixedLabels(labels, labels[partner], weight)
