"""Deep mutual learning."""

import numpy as np
import pytest
import torch
from helpers.methods import (
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
from torch.nn import functional as F

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.methods.dml import Dml


def build_dml(**options) -> Dml:
    """Return the method with two peers besides the student."""
    return Dml(make_network(), make_network, seed=0, peers=3, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup, reduction):
    method = build_dml(weight=0.7, temperature=2.0, reduction=reduction).double()
    x, labels = make_batch()
    given = mix_labels(labels, 0.6) if mixup else labels
    losses = method(x.double(), given)
    logits = [net(x.double()).detach().numpy() for net in (method.model, *method.peers)]
    ce = [-(label_distributions(given) * log_softmax(z, axis=1)).sum(1).mean() for z in logits]
    p = [log_softmax(z / 2, axis=1) for z in logits]
    pairs = [(np.exp(p[j]) * (p[j] - p[k])).sum(1).mean() for k in range(3) for j in range(3) if j != k]
    kd = 4 * sum(pairs) / (2 if reduction == "mean" else 1)
    assert losses.total.item() == pytest.approx(sum(ce) + 0.7 * kd, rel=1e-6)
    parts = {name: part.item() for name, part in losses.parts.items()}
    assert parts == pytest.approx({"ce": ce[0], "ce_peer1": ce[1], "ce_peer2": ce[2], "kd": kd}, rel=1e-6)
    np.testing.assert_allclose(losses.logits.detach(), logits[0])


def test_weight_one_and_evaluation_mode():
    check_plain_cases(build_dml())


def test_student_is_taught_by_constant_peers():
    x, labels = make_batch()
    method = build_dml(weight=0.5, temperature=2.0)
    s = method.model(x)
    teachers = [(peer(x) / 2).softmax(1).detach() for peer in method.peers]
    expected = F.cross_entropy(s, labels)
    for p in teachers:
        expected = expected + 0.5 * 4 * (p * (p.log() - (s / 2).log_softmax(1))).sum(1).mean() / 2
    parameters = list(method.model.parameters())
    for gradient, reference in zip(
        torch.autograd.grad(method(x, labels).total, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(gradient, reference)


def test_without_weight_the_student_is_the_baseline_bit_for_bit():
    method, baseline = build_dml(weight=0.0), CrossEntropy(make_network(0))
    train_method(method, range(5))
    train_method(baseline, range(5))
    for a, b in zip(method.model.state_dict().values(), baseline.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_saved_state_continues_to_the_same_bits(tmp_path):
    check_continues(tmp_path, lambda: build_dml(), stop=3, steps=6)


def test_peers_have_weights_of_their_own_that_depend_on_the_seed():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a, b = (build_method(MethodConfig(name="dml", peers=3), make_network(), make_context(10)) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    weights = [net.linear.weight for net in (a.model, *a.peers)]
    assert len(weights) == 3
    assert len({tuple(weight.flatten().tolist()) for weight in weights}) == 3
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="dml"), make_network(), make_context(60))
    assert len(method.peers) == 1
    train_method(method, range(60))
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
