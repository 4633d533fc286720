"""A tiny network, batches that it can learn, and a training loop for the tests of the training methods."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.methods import TrainingContext
from asc_mrkd.methods.base import Method
from asc_mrkd.mrkd import MemoryReplay
from asc_mrkd.mrkd.losses import Labels, MixedLabels

CLASSES = 3
SHAPE = (1, 4, 4)
LR = 0.1


def make_network(seed: int = 0) -> nn.Module:
    """Return a network with weights of that seed: maps (4, 4, 4) and (8, 2, 2), then a linear layer.

    Torch's global generator is left untouched.
    """
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
    """Return noisy stripes across, stripes down and checks (batch, 1, 4, 4), and their classes (batch,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    stripes = torch.tensor([1.0, -1.0, 1.0, -1.0])
    patterns = torch.stack([stripes.expand(4, 4), stripes.view(4, 1).expand(4, 4), torch.outer(stripes, stripes)])
    return patterns[labels].unsqueeze(1) + 0.5 * torch.randn(size, *SHAPE, generator=generator), labels


def mix_labels(labels: Tensor, weight: float) -> MixedLabels:
    """Mix every label with the one before it in the batch."""
    return MixedLabels(labels, labels.roll(1), torch.full((len(labels),), weight))


def label_distributions(labels: Labels) -> np.ndarray:
    """Return the distributions (batch, class) that labels, mixed or not, stand for."""
    if isinstance(labels, MixedLabels):
        weight = labels.weight.double().numpy()[:, None]
        return weight * label_distributions(labels.first) + (1 - weight) * label_distributions(labels.second)
    return np.eye(CLASSES)[labels]


def make_context(steps: int, **changes: Any) -> TrainingContext:
    """Return the context of a run of the tiny network, of one epoch and seed 0."""
    facts: dict[str, Any] = {
        "num_classes": CLASSES,
        "input_shape": SHAPE,
        "train_samples": 12 * steps,
        "epochs": 1,
        "steps_per_epoch": steps,
        "seed": 0,
        "new_model": make_network,
    }
    return TrainingContext(**facts | changes)


def train_method(
    method: Method | MemoryReplay,
    steps: Iterable[int],
    batch_of: Callable[[int], tuple[Tensor, Labels]] = make_batch,
    lr: float = LR,
    **inputs: Callable[[int, Tensor, Labels], Any],
) -> list[float]:
    """Take these steps of a run, step k on batch k, and return the loss of each.

    Args:
        method: the method to train.
        steps: numbers of the steps.
        batch_of: makes the batch of a step.
        lr: learning rate.
        inputs: makes an input of `Method.needs` from the step, the inputs and the labels.
    """
    optimizer = torch.optim.SGD(method.parameters(), lr=lr)
    losses = []
    for number in steps:
        x, labels = batch_of(number)
        needed = {name: make(number, x, labels) for name, make in inputs.items()}
        loss = method(x, labels, **needed).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.step()
        losses.append(loss.item())
    return losses


def accuracy_of(model: nn.Module) -> float:
    """Return the accuracy of a network, in evaluation mode, on batches that it was not trained on."""
    x, labels = make_batch(seed=1_000_000, size=300)
    return (model.eval()(x).argmax(1) == labels).float().mean().item()


def check_plain_cases(method: Method, **inputs: Any) -> None:
    """Check that labels mixed with the weight 1 are plain ones, and that evaluation mode gives the cross-entropy."""
    x, labels = make_batch()
    mixed = method(x, mix_labels(labels, 1.0), **inputs)
    torch.testing.assert_close(mixed.total, method(x, labels, **inputs).total)
    losses = method.eval()(x, labels, **inputs)
    assert torch.equal(losses.total, F.cross_entropy(method.model(x), labels))
    assert list(losses.parts) == ["ce"]


def check_continues(folder: Path, build: Callable[[], Method], stop: int, steps: int, **options: Any) -> None:
    """Check that a method saved after `stop` of `steps` steps continues from there bit for bit.

    Args:
        folder: folder for the saved state.
        build: makes the method.
        stop: steps before it is saved.
        steps: steps in all.
        options: as of `train_method`.
    """
    whole = build()
    expected = train_method(whole, range(steps), **options)
    broken = build()
    train_method(broken, range(stop), **options)
    torch.save(broken.state_dict(), folder / "state.pt")
    continued = build()
    train_method(continued, range(steps - 2, steps), **options)  # the saved state replaces all of this
    continued.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    assert train_method(continued, range(stop, steps), **options) == expected[stop:]
    for (name, a), b in zip(whole.state_dict().items(), continued.state_dict().values(), strict=True):
        if not name.endswith("_extra_state"):
            assert torch.equal(a, b), name
