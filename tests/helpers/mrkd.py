"""A small network, its batches and a training loop for the tests of MrKD."""

import torch
from torch import Tensor, nn

from asc_mrkd.mrkd import MemoryReplay


def make_network(classes: int = 3) -> nn.Module:
    """Return a network for (1, 4, 4) inputs."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, classes)
    )


def make_batch(classes: int = 3, size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return random inputs (batch, 1, 4, 4) and labels (batch,)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 1, 4, 4, generator=generator)
    return x, torch.randint(classes, (size,), generator=generator)


def train_replay(method: MemoryReplay, steps: int, first: int = 0, lr: float = 0.1) -> torch.optim.SGD:
    """Take the steps `first`, `first` + 1, ..., step k on batch k, and return the optimiser."""
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    for step in range(first, first + steps):
        loss = method(*make_batch(seed=step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        method.step()
    return optimizer
