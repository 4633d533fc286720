"""What the tests of the method share: a small network, its batches and a training loop."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from asc_mrkd.mrkd import MemoryReplay


def make_network(classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, classes)
    )


def make_batch(classes: int = 3, size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 1, 4, 4, generator=generator)
    return x, torch.randint(classes, (size,), generator=generator)


def train_method(method: MemoryReplay, steps: int, first: int = 0, lr: float = 0.1) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    for step in range(first, first + steps):
        loss = method(*make_batch(seed=step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        method.step()
    return optimizer


@pytest.fixture
def network() -> Callable[..., nn.Module]:
    """Return a function (classes=3) that makes a network for (1, 4, 4) inputs."""
    return make_network


@pytest.fixture
def batch() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Return a function (classes=3, size=8, seed=0) that makes inputs and labels."""
    return make_batch


@pytest.fixture
def train() -> Callable[..., torch.optim.SGD]:
    """Return the function (method, steps, first=0, lr=0.1) that trains and returns the optimiser."""
    return train_method
