"""What the tests of the training methods share: a tiny network, batches that it can learn, a training loop."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.methods import Run
from asc_mrkd.mrkd.losses import Labels, MixedLabels

CLASSES, SHAPE = 3, (1, 4, 4)
LR = 0.1


def make_network(seed: int = 0) -> nn.Module:
    """Return a network with weights of that seed: maps (4, 4, 4) and (8, 2, 2), then a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            OrderedDict(
                first=nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
                second=nn.Sequential(nn.Conv2d(4, 8, 3, 2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
                flatten=nn.Flatten(),
                linear=nn.Linear(32, CLASSES),
            )
        )
    model.branch_points = ("first",)
    return model


def make_batch(seed: int = 0, size: int = 12) -> tuple[Tensor, Tensor]:
    """Return noisy stripes across, stripes down and checks (batch, 1, 4, 4), and which of them it is (batch,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    stripes = torch.tensor([1.0, -1.0, 1.0, -1.0])
    patterns = torch.stack([stripes.expand(4, 4), stripes.view(4, 1).expand(4, 4), torch.outer(stripes, stripes)])
    return patterns[labels].unsqueeze(1) + 0.5 * torch.randn(size, *SHAPE, generator=generator), labels


def train_method(method: Any, steps: range, **needed: Callable[[int, Tensor, Labels], Any]) -> list[float]:
    """Take these steps of a run, step k on batch k, and return the loss of each; `needed` makes what a method needs."""
    optimizer, losses = torch.optim.SGD(method.parameters(), lr=LR), []
    for number in steps:
        x, labels = make_batch(number)
        loss = method(x, labels, **{name: make(number, x, labels) for name, make in needed.items()}).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.step()
        losses.append(loss.item())
    return losses


@pytest.fixture
def network() -> Callable[..., nn.Module]:
    """Return a function (seed=0) that makes the tiny network, without touching torch's global generator."""
    return make_network


@pytest.fixture
def batch() -> Callable[..., tuple[Tensor, Tensor]]:
    """Return a function (seed=0, size=12) that makes inputs and labels."""
    return make_batch


@pytest.fixture
def mixed() -> Callable[..., MixedLabels]:
    """Return a function (labels, weight) that mixes every label with the one before it in the batch."""
    return lambda labels, weight: MixedLabels(labels, labels.roll(1), torch.full((len(labels),), weight))


@pytest.fixture
def targets() -> Callable[[Labels], np.ndarray]:
    """Return a function that gives the distributions (batch, class) which labels, mixed or not, stand for."""

    def spread(labels: Labels) -> np.ndarray:
        if isinstance(labels, MixedLabels):
            weight = labels.weight.double().numpy()[:, None]
            return weight * spread(labels.first) + (1 - weight) * spread(labels.second)
        return np.eye(CLASSES)[labels]

    return spread


@pytest.fixture
def train() -> Callable[..., list[float]]:
    """Return the function (method, steps: range, **needed) that trains a method and returns the losses."""
    return train_method


@pytest.fixture
def run() -> Callable[[int], Run]:
    """Return a function (total_steps) that describes a run of the tiny network, of one epoch and seed 0."""
    return lambda steps: Run(CLASSES, steps, steps, 12 * steps, SHAPE, seed=0, new_model=make_network)


@pytest.fixture
def accuracy() -> Callable[[nn.Module], float]:
    """Return a function that gives the accuracy of a network, in evaluation mode, on batches not trained on."""

    def measure(model: nn.Module) -> float:
        x, labels = make_batch(seed=1_000_000, size=300)
        return (model.eval()(x).argmax(1) == labels).float().mean().item()

    return measure


@pytest.fixture
def check_plain_cases(mixed: Callable[..., MixedLabels]) -> Callable[..., None]:
    """Return a function that checks a method where another one is known to say the same.

    Labels mixed with the weight 1 are plain ones, and in evaluation mode there is the student's cross-entropy alone.
    """

    def check(method: Any, **needed: Any) -> None:
        x, labels = make_batch()
        torch.testing.assert_close(method(x, mixed(labels, 1.0), **needed).total, method(x, labels, **needed).total)
        losses = method.eval()(x, labels, **needed)
        assert torch.equal(losses.total, F.cross_entropy(method.model(x), labels))
        assert list(losses.parts) == ["ce"]

    return check


@pytest.fixture
def check_continues(tmp_path: Path) -> Callable[..., None]:
    """Return a function that saves a method after `stop` of `steps` steps; it must go on from there bit for bit."""

    def check(build: Callable[[], Any], stop: int, steps: int, **needed: Any) -> None:
        whole, broken, continued = build(), build(), build()
        expected = train_method(whole, range(steps), **needed)
        train_method(broken, range(stop), **needed)
        torch.save(broken.state_dict(), tmp_path / "state.pt")
        train_method(continued, range(900, 902), **needed)  # what it held before is of no account
        continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert train_method(continued, range(stop, steps), **needed) == expected[stop:]
        for (name, a), b in zip(whole.model.state_dict().items(), continued.model.state_dict().values(), strict=True):
            assert torch.equal(a, b), name

    return check


@pytest.fixture
def hooks_are_seen() -> Iterator[None]:
    """Let torch.compile tell networks with hooks from those without, as the engine does."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
        yield
