"""Be your own teacher."""

import copy

import numpy as np
import pytest
import torch
from helpers.methods import (
    CLASSES,
    SHAPE,
    accuracy_of,
    check_continues,
    check_plain_cases,
    label_distributions,
    make_batch,
    make_context,
    make_network,
    mix_labels,
    train_method,
)
from scipy.special import log_softmax
from torch import nn

from asc_mrkd.config import MethodConfig
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import build_method
from asc_mrkd.methods.byot import Byot


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup):
    method = Byot(
        make_network(),
        CLASSES,
        SHAPE,
        0,
        alpha=0.3,
        temperature=2.0,
        feature_weight=0.01,
        branches=["first", "second.1"],
    ).double()
    x, labels = make_batch()
    x, given = x.double(), mix_labels(labels, 0.6) if mixup else labels
    student = method.model
    first = student.first(x)
    second = student.second[:2](first)
    maps = [student.second[2](second), method.branches[0][:-3](first), method.branches[1][:-3](second)]
    heads = [nn.Sequential(student.flatten, student.linear), method.branches[0][-3:], method.branches[1][-3:]]
    (s, *early), (last, *others) = (
        [z.detach().numpy() for z in each] for each in ([h(m) for h, m in zip(heads, maps, strict=True)], maps)
    )
    p, kd, feature = log_softmax(s / 2, axis=1), 0.0, 0.0
    ce = [-(label_distributions(given) * log_softmax(z, axis=1)).sum(1).mean() for z in (s, *early)]
    for z, other in zip(early, others, strict=True):
        kd += 4 * (np.exp(p) * (p - log_softmax(z / 2, axis=1))).sum(1).mean()
        feature += ((other - last) ** 2).sum() / len(x)
    losses = method(x, given)
    assert losses.total.item() == pytest.approx(ce[0] + 0.7 * sum(ce[1:]) + 0.3 * kd + 0.01 * feature, rel=1e-6)
    parts = {name: part.item() for name, part in losses.parts.items()}
    expected = {"ce": ce[0], "ce_first": ce[1], "ce_second.1": ce[2], "kd": kd, "feature": feature}
    assert parts == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(losses.logits.detach(), s)


def test_weight_one_and_evaluation_mode():
    check_plain_cases(Byot(make_network(), CLASSES, SHAPE, 0))


def test_last_layer_learns_from_the_labels_alone():
    x, labels = make_batch()
    method = Byot(make_network(), CLASSES, SHAPE, 0, feature_weight=1.0)
    losses = method(x, labels)
    last = list(method.model.linear.parameters()) + list(method.model.second.parameters())  # nothing hangs on them
    expected = torch.autograd.grad(nn.functional.cross_entropy(method.model(x), labels), last)
    shared = method.model.first[0].weight
    (taught,) = torch.autograd.grad(losses.total, shared, retain_graph=True)
    (alone,) = torch.autograd.grad(nn.functional.cross_entropy(method.model(x), labels), shared)
    for gradient, reference in zip(torch.autograd.grad(losses.total, last), expected, strict=True):
        torch.testing.assert_close(gradient, reference)
    assert not torch.allclose(taught, alone)


def test_early_classifiers_are_drawn_from_a_generator_of_their_own():
    model = make_network()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a, b, c = (Byot(model, CLASSES, SHAPE, seed).branches.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a["0.0.weight"], b["0.0.weight"])
    assert not torch.equal(a["0.0.weight"], c["0.0.weight"])


def test_map_that_does_not_come_to_the_size_of_the_last_one_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.Linear(36, CLASSES))
    with pytest.raises(ConfigError, match=r"on '0' \(4, 4, 4\) ends at \(4, 4, 4\), .* \(4, 3, 3\)"):
        Byot(model, CLASSES, SHAPE, 0, branches=["0"])


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_wrapped_student_gives_the_same_losses(wrap, hooks_are_seen):
    plain = Byot(make_network(), CLASSES, SHAPE, 0)
    wrapped = Byot(wrap(copy.deepcopy(plain.model)), CLASSES, SHAPE, 0)
    assert train_method(wrapped, range(3)) == pytest.approx(train_method(plain, range(3)), rel=1e-5)


def test_saved_state_continues_to_the_same_bits(tmp_path):
    check_continues(tmp_path, lambda: Byot(make_network(), CLASSES, SHAPE, 0), stop=3, steps=6)


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="byot"), make_network(), make_context(60))
    keys = list(method.model.state_dict())
    train_method(method, range(60))
    assert list(method.model.state_dict()) == keys == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
