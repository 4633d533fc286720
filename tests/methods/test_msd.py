"""Multi-self-distillation: classifiers on the branches of a network teach each other."""

import copy

import numpy as np
import pytest
import torch
from helpers.methods import (
    CLASSES,
    SHAPE,
    accuracy_of,
    check_continues,
    label_distributions,
    make_batch,
    make_context,
    mix_labels,
    train_method,
)
from scipy.special import log_softmax
from torch import nn
from torch.nn import functional as F

from asc_mrkd.config import MethodConfig
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import build_method
from asc_mrkd.methods.base import mutual_divergence
from asc_mrkd.methods.msd import Msd
from asc_mrkd.models import build_model


class Small(nn.Module):
    """Two stages and a classifier."""

    branch_points = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(8, 12, 3, 2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.linear = nn.Linear(12, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.third(self.second(self.first(x))).mean((2, 3)))


def all_logits(method: Msd, x: torch.Tensor) -> list[torch.Tensor]:
    """Return the logits of the classifiers, deepest first, by running the parts of `Small` one by one."""
    network = method.model
    first = network.first(x)
    second = network.second(first)
    deepest = network.linear(network.third(second).mean((2, 3)))
    return [deepest, method.branches[0](first), method.branches[1](second)]


def loss_by_formula(logits: list[np.ndarray], targets: np.ndarray, alpha: float, tau: float) -> float:
    """Return the loss from logits (batch, class) and the labels' distributions (batch, class)."""
    total = 0.0
    for k, z in enumerate(logits):
        total += (1 - alpha) * -(targets * log_softmax(z, axis=1)).sum(1).mean()
        q = log_softmax(z / tau, axis=1)
        others = [log_softmax(other / tau, axis=1) for j, other in enumerate(logits) if j != k]
        total += alpha * tau**2 * np.mean([(np.exp(p) * (p - q)).sum(1).mean() for p in others])
    return total


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup):
    method = Msd(Small(), CLASSES, SHAPE, 0, alpha=0.3, temperature=2.0).double()
    x, labels = make_batch()
    x = x.double()
    given = mix_labels(labels, 0.5) if mixup else labels
    logits = all_logits(method, x)
    losses = method(x, given)
    expected = loss_by_formula([z.detach().numpy() for z in logits], label_distributions(given), 0.3, 2.0)
    assert losses.total.item() == pytest.approx(expected, rel=1e-10)
    torch.testing.assert_close(losses.logits, logits[0])
    assert list(losses.parts) == ["ce", "ce_first", "ce_second", "kd"]
    ces = [losses.parts[name].item() for name in ("ce", "ce_first", "ce_second")]
    assert losses.total.item() == pytest.approx(0.7 * sum(ces) + 0.3 * losses.parts["kd"].item())


def test_teaching_classifiers_get_no_gradient():
    logits = [torch.randn(5, CLASSES, dtype=torch.double, requires_grad=True) for _ in range(3)]
    gradients = torch.autograd.grad(mutual_divergence(logits, 2.0), logits)
    p = [(z / 2).softmax(1).detach() for z in logits]
    for k, gradient in enumerate(gradients):  # of KL(constant || p_k) alone
        others = (sum(p) - p[k]) / 2
        torch.testing.assert_close(gradient, (p[k] - others) / 2 / 5)


def test_alpha_zero_is_deep_supervision_without_teaching():
    method = Msd(Small(), CLASSES, SHAPE, 0, alpha=0.0)
    x, labels = make_batch()
    expected = sum(F.cross_entropy(z, labels) for z in all_logits(method, x))
    parameters = list(method.parameters())
    for a, b in zip(
        torch.autograd.grad(method(x, labels).total, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_student_is_left_as_it_was():
    torch.manual_seed(0)
    model = Small()
    model.second[1].eval()
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    method = Msd(model, CLASSES, SHAPE, 0)
    assert torch.equal(torch.rand(3), expected)
    assert method.model is model
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), state.values(), strict=True))
    assert [module.training for module in model.modules()] == modes


def test_initial_weights_of_the_branches_depend_on_the_seed_alone():
    states = []
    for seed, elsewhere in ((0, 1), (0, 2), (3, 1)):
        torch.manual_seed(elsewhere)
        states.append(torch.cat([p.flatten() for p in Msd(Small(), CLASSES, SHAPE, seed).branches.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def hooks_of(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_nothing_hangs_on_the_student_between_batches_nor_in_evaluation():
    method = Msd(Small(), CLASSES, SHAPE, 0)
    x, labels = make_batch()
    counts = []
    method.model.second.register_forward_pre_hook(lambda *_: counts.append(hooks_of(method.model)))
    method(x, labels)
    method.eval()
    losses = method(x, labels)
    assert counts == [2, 0]
    assert hooks_of(method.model) == 0
    assert torch.equal(losses.total, F.cross_entropy(method.model(x), labels))
    assert list(losses.parts) == ["ce"]


def test_hooks_are_removed_when_the_student_fails():
    method = Msd(Small(), CLASSES, SHAPE, 0)
    with pytest.raises(RuntimeError):
        method(torch.zeros(2, 5, 8, 8), torch.zeros(2, dtype=torch.long))
    assert hooks_of(method.model) == 0


def test_parameters_and_state_hold_the_branches_beside_the_student():
    method = Msd(Small(), CLASSES, SHAPE, 0)
    student = set(method.model.parameters())
    others = [p for p in method.parameters() if p not in student]
    assert len(list(method.parameters())) == len(student) + len(others)
    method(*make_batch()).total.backward()
    assert all(p.grad is not None for p in others)
    # first: 4 -> 8 -> 12 channels, second: 8 -> 12; a linear layer each
    convolutions = 9 * (4 * 8 + 8 * 12 + 8 * 12)
    assert sum(p.numel() for p in others) == convolutions + 2 * (8 + 12 + 12) + 2 * (12 + 1) * CLASSES
    assert {name.partition(".")[0] for name in method.state_dict()} == {"model", "branches", "_extra_state"}


@pytest.mark.parametrize(
    ("name", "options", "shape", "widths"),
    [
        ("cp_resnet", {"width": 4, "blocks": (2, 1, 1)}, (2, 64, 60), [[8, 16], [16]]),
        ("resnet20", {"width": 4}, (3, 32, 32), [[8, 16], [16]]),
        ("resnet164", {"depth": 11, "width": 4}, (3, 32, 32), [[32, 64], [64]]),
        ("wrn_16_8", {"depth": 10, "width": 1}, (3, 32, 32), [[32, 64], [64]]),
    ],
)
def test_branches_end_with_the_width_of_the_last_feature_map(name, options, shape, widths):
    channels = {"in_channels": 2} if shape[0] == 2 else {}
    method = Msd(build_model(name, CLASSES, **options, **channels), CLASSES, shape, 0)
    assert [[m.out_channels for m in b if isinstance(m, nn.Conv2d)] for b in method.branches] == widths
    method.to(torch.device("cpu"), memory_format=torch.channels_last)
    x = torch.randn(2, *shape).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        losses = method(x, torch.tensor([0, 2]))
    assert losses.total.dtype == torch.float32
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_branch_brings_the_feature_map_down_to_the_last_one():
    method = Msd(Small(), CLASSES, SHAPE, 0)  # maps of 4 x 4 and 2 x 2, the last one 1 x 1
    for branch, size in zip(method.branches, ((4, 4, 4), (8, 2, 2)), strict=True):
        stages = branch[:-3]
        assert stages(torch.randn(2, *size)).shape == (2, 12, 1, 1)


def test_layers_can_be_named():
    method = Msd(Small(), CLASSES, SHAPE, 0, branches=["third.1"])
    assert len(method.branches) == 1
    assert list(method(*make_batch()).parts) == ["ce", "ce_third.1", "kd"]


@pytest.mark.parametrize(
    ("model", "branches", "message", "hint"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), None, "no layers of Sequential", "[...], out of 0, 1"),
        (Small(), [], "no layers of Small", "first, first.0"),
        (Small(), ["secnd"], "no layer 'secnd'", "did you mean 'second'?"),
        (Small(), ["linear"], "'linear' has no output", "first.0, first.1, first.2, first"),
    ],
)
def test_layers_that_cannot_be_tapped_are_refused(model, branches, message, hint):
    with pytest.raises(ConfigError, match=message) as error:
        Msd(model, CLASSES, SHAPE, 0, branches=branches)
    assert hint in error.value.hint


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_wrapped_student_gives_the_same_losses(wrap, hooks_are_seen):
    torch.manual_seed(0)
    model = Small()
    plain, wrapped = Msd(model, CLASSES, SHAPE, 0), Msd(wrap(copy.deepcopy(model)), CLASSES, SHAPE, 0)
    assert train_method(wrapped, range(4)) == pytest.approx(train_method(plain, range(4)), rel=1e-5)


def test_saved_state_continues_to_the_same_bits(tmp_path):
    model = Small()
    check_continues(tmp_path, lambda: Msd(copy.deepcopy(model), CLASSES, SHAPE, 0), stop=4, steps=10)


def test_built_from_a_section_it_learns():
    torch.manual_seed(0)
    context = make_context(60, new_model=lambda seed: Small())
    method = build_method(MethodConfig(name="msd"), Small(), context)
    train_method(method, range(60))
    assert accuracy_of(method.model) > 0.8
