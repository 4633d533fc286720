"""The order of an epoch and its random draws, each a function of (seed, epoch, sample)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.rng import generator


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples.

    All its draws are made at once and kept on the device; a batch picks its own by index.
    """

    seed: int
    """Seed of the run."""
    number: int
    """Number of the epoch, from 0."""
    count: int
    """Samples of the data set."""
    device: torch.device | str = "cpu"
    """Device of the samples."""
    _draws: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def batches(self, batch_size: int) -> "list[BatchKey]":
        """Cut a random order of the samples into batches; the last, shorter one is kept.

        >>> [len(key.positions) for key in Epoch(seed=0, number=0, count=25).batches(10)]
        [10, 10, 5]
        """
        order = generator("order", self.seed, self.number).permutation(self.count)
        index = torch.from_numpy(order).to(self.device)
        pieces = [slice(i, i + batch_size) for i in range(0, self.count, batch_size)]
        return [BatchKey(self, order[piece], index[piece]) for piece in pieces]

    def draw(self, purpose: str, make: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
        """Return the draws (sample,) for a purpose, made on first use by a function of the generator."""
        if purpose not in self._draws:
            values = torch.from_numpy(make(generator(purpose, self.seed, self.number)))
            if torch.device(self.device).type == "mps" and values.is_floating_point():
                values = values.float()  # Apple's GPUs have no float64
            self._draws[purpose] = values.to(self.device)
        return self._draws[purpose]


@dataclass(frozen=True)
class BatchKey:
    """The samples of a batch and their epoch: everything that a draw may depend on."""

    epoch: Epoch
    positions: np.ndarray
    """Numbers of the samples of this batch (batch,)."""
    index: Tensor
    """The same numbers on the device."""
    view: int = 0
    """Number of the view: each has its own draws for the augmentation of the same samples, but not for Mixup."""

    def other_view(self) -> "BatchKey":
        """Return the key of the same batch in a second view."""
        return replace(self, view=self.view + 1)

    def rows(self, share: slice) -> "BatchKey":
        """Return the key of a part of this batch."""
        return replace(self, positions=self.positions[share], index=self.index[share])

    def integers(self, purpose: str, low: int, high: int) -> Tensor:
        """Draw an integer in [low, high) for every sample of the batch in this view."""
        return self.epoch.draw(self.in_view(purpose), lambda rng: rng.integers(low, high, self.epoch.count))[self.index]

    def uniform(self, purpose: str) -> Tensor:
        """Draw a number in [0, 1) for every sample of the batch in this view, float64."""
        return self.epoch.draw(self.in_view(purpose), lambda rng: rng.random(self.epoch.count))[self.index]

    def in_view(self, purpose: str) -> str:
        """Return a purpose whose draws are those of this view alone."""
        return f"{purpose}, view {self.view}" if self.view else purpose

    def partners(self, labels: Tensor) -> Tensor:
        """Draw for every sample of the batch another one of its class, (batch,), by the labels of all samples."""
        return self.epoch.draw("pair", lambda rng: draw_partners(labels.cpu().numpy(), rng))[self.index]

    def beta(self, purpose: str, a: float) -> Tensor:
        """Draw from Beta(a, a) for every sample of the batch."""
        return self.epoch.draw(purpose, lambda rng: rng.beta(a, a, self.epoch.count))[self.index]

    def permutation(self, purpose: str) -> Tensor:
        """Draw an order of the batch; its first sample, which no other batch of the epoch has, names the batch."""
        rng = generator(purpose, self.epoch.seed, self.epoch.number, int(self.positions[0]))
        return torch.from_numpy(rng.permutation(len(self.positions))).to(self.index.device)


def draw_partners(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw for every sample (sample,) another one of its class, or itself in a class of one.

    >>> draw_partners(np.array([0, 1, 0, 2]), np.random.default_rng(0)).tolist()
    [2, 1, 0, 3]
    """
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    first = np.cumsum(counts) - counts
    place = np.empty_like(order)
    place[order] = np.arange(len(labels)) - first[labels[order]]
    size = counts[labels]
    ahead = 1 + rng.integers(0, np.maximum(size - 1, 1))
    return order[first[labels] + (place + ahead) % size]
