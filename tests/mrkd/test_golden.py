"""The worked example of the method in float64: three classes, two samples, two backups, tau 4, alpha 0.5."""

import pytest
import torch
from torch import nn

from asc_mrkd.mrkd import MemoryReplay, kl_divergence, knowledge_adjustment, log_target
from asc_mrkd.mrkd.losses import cross_entropy

TAU = 4.0
LABELS = torch.tensor([0, 1])
Z1 = torch.tensor([[1.0, 3, -1], [0, 2, 1]], dtype=torch.float64)
Z2 = torch.tensor([[2.0, 0, 1], [3, -2, 0]], dtype=torch.float64)


def student_logits() -> torch.Tensor:
    return torch.tensor([[2.0, 1, 0], [0.5, -1, 1.5]], dtype=torch.float64, requires_grad=True)


class Student(nn.Module):
    """Gives the same logits whatever comes in."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(student_logits().detach())

    def forward(self, x):
        return self.logits


def replay(monkeypatch, **options) -> MemoryReplay:
    method = MemoryReplay(
        Student(), 3, num_backups=2, interval=10, alpha=0.5, temperature=TAU, warmup="untrained", **options
    ).double()
    monkeypatch.setattr(method.backups, "forward", lambda x, count: torch.stack([Z1, Z2]))
    return method


def test_cross_entropy():
    assert cross_entropy(student_logits(), LABELS).item() == pytest.approx(1.6395724981485318, abs=1e-14)


@pytest.mark.parametrize(("teacher", "expected"), [(Z1, 0.07771023429455497), (Z2, 0.06564758430664401)])
def test_kl(teacher, expected):
    target = log_target(teacher, LABELS, TAU, "none")
    assert kl_divergence(target, student_logits(), TAU).item() == pytest.approx(expected, abs=1e-15)


def test_knowledge_adjustment():
    assert knowledge_adjustment(Z1, LABELS).tolist() == [[3, 1, -1], [0, 2, 1]]
    assert knowledge_adjustment(Z2, LABELS).tolist() == [[2, 0, 1], [-2, 3, 0]]


@pytest.mark.parametrize(("adjustment", "expected"), [("none", 1.3932175234790618), ("swap", 1.5978166256294069)])
def test_without_ensemble(monkeypatch, adjustment, expected):
    method = replay(monkeypatch, ensemble=False, adjustment=adjustment)
    assert method(torch.zeros(2, 1), LABELS).total.item() == pytest.approx(expected, abs=1e-14)


def test_ensemble_with_adjustment(monkeypatch):
    method = replay(monkeypatch, ensemble_input="raw")
    first, _, second = method.ensemble.layers
    values = {
        first.weight: [[-0.2, 0.1, -0.1, 0.2, 0, -0.2], [0, -0.2, 0.1, -0.1, 0.2, 0], [0.2, 0, -0.2, 0.1, -0.1, 0.2]],
        first.bias: [0.1, 0, -0.1],
        second.weight: [[-0.2, 0, 0.2], [0.2, -0.2, 0], [0, 0.2, -0.2]],
        second.bias: [0, 0.05, -0.05],
    }
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(torch.tensor(value, dtype=torch.float64))
    joined = method.ensemble(torch.stack([Z1, Z2]))
    torch.testing.assert_close(
        joined, torch.tensor([[0.04, 0.15, -0.19], [-0.12, 0.21, -0.09]], dtype=torch.float64), rtol=0, atol=1e-12
    )
    loss = method(torch.zeros(2, 1), LABELS).total
    assert loss.item() == pytest.approx(1.0422732195568667, abs=1e-13)
    loss.backward()
    expected = {
        method.model.logits: [
            [-0.010315588287617, 0.051204595388983, -0.040889007101366],
            [0.076724767359533, -0.355594119317507, 0.278869351957974],
        ],
        second.bias: [-0.021070185760248, 0.060463885719392, -0.039393699959144],
        first.bias: [0.016306814295928, 0, 0.003664702839779],
    }
    for parameter, gradient in expected.items():
        torch.testing.assert_close(parameter.grad, torch.tensor(gradient, dtype=torch.float64), rtol=0, atol=1e-14)
