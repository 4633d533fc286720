"""MrKD around models of other makers, in a loop of one's own."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from asc_mrkd.errors import ModelError
from asc_mrkd.mrkd import MemoryReplay, logits_of

LOGITS = torch.zeros(2, 3)
Named = namedtuple("Named", ["logits", "aux"])


@dataclass
class Output:
    hidden: int
    logits: torch.Tensor


class Classifier(nn.Module):
    """In the way of torchvision: features, avgpool, classifier; what it returns is up to the test."""

    def __init__(self, returns):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.avgpool, self.classifier = nn.AdaptiveAvgPool2d((2, 2)), nn.Linear(32, 3)
        self.returns = returns

    def forward(self, x):
        return self.returns(self.classifier(torch.flatten(self.avgpool(self.features(x)), 1)))


RETURNS = {
    "tensor": lambda z: z,
    "dict": lambda z: {"aux": z.new_zeros(1), "logits": z},
    "out": lambda z: {"out": z, "aux": z.new_zeros(1)},
    "tuple": lambda z: (z, z.new_zeros(1)),
    "named tuple": lambda z: Named(z, None),
    "dataclass": lambda z: Output(1, z),
}


@pytest.mark.parametrize("returns", RETURNS.values(), ids=RETURNS.keys())
def test_logits_are_found(returns):
    assert logits_of(returns(LOGITS)) is LOGITS


@pytest.mark.parametrize("output", [{"scores": LOGITS}, (), None, ("logits",)])
def test_no_logits_are_named_with_a_way_out(output):
    with pytest.raises(ModelError, match="no logits") as error:
        logits_of(output)
    assert "logits_of=" in error.value.hint


def loop(model: nn.Module, **options) -> list[float]:
    """Train in the five lines of the README."""
    mrkd = MemoryReplay(model, num_classes=3, num_backups=2, interval=4, alpha=0.5, temperature=3.0, **options)
    optimizer = torch.optim.SGD(mrkd.parameters(), lr=0.05, momentum=0.9)
    totals = []
    for step in range(12):
        generator = torch.Generator().manual_seed(step)
        y = torch.randint(3, (16,), generator=generator)
        x = torch.randn(16, 3, 8, 8, generator=generator) + y.view(-1, 1, 1, 1)
        loss = mrkd(x, y)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        mrkd.step()
        totals.append(loss.total.item())
    assert mrkd.model is model
    assert "kd" in loss.parts
    return totals


def model_that(returns) -> Classifier:
    torch.manual_seed(0)
    return Classifier(returns)


@pytest.mark.parametrize("returns", RETURNS.values(), ids=RETURNS.keys())
def test_a_model_may_return_more_than_logits(returns):
    assert loop(model_that(returns)) == loop(model_that(RETURNS["tensor"]))


def test_logits_under_a_name_of_ones_own():
    model = model_that(lambda z: {"scores": z})
    assert loop(model, logits_of=lambda output: output["scores"]) == loop(model_that(RETURNS["tensor"]))


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
@pytest.mark.parametrize("returns", ["tensor", "dict"])
def test_a_wrapped_model_gives_the_same_losses(wrap, returns):
    expected = loop(model_that(RETURNS["tensor"]))
    assert loop(wrap(model_that(RETURNS[returns]))) == pytest.approx(expected, rel=1e-5)
    assert expected[-1] < expected[0]
