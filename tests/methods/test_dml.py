import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn import functional as F

from asc_mrkd.config import DmlConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.methods.dml import Dml


def build(network, peers: int = 2, **options) -> Dml:
    return Dml(network(0), [network(1 + number) for number in range(peers)], **options)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(network, batch, mixed, targets, mixup, reduction):
    method = build(network, weight=0.7, temperature=2.0, reduction=reduction).double()
    x, labels = batch()
    given = mixed(labels, 0.6) if mixup else labels
    losses = method(x.double(), given)
    logits = [net(x.double()).detach().numpy() for net in (method.model, *method.peers)]
    ce = [-(targets(given) * log_softmax(z, axis=1)).sum(1).mean() for z in logits]
    p = [log_softmax(z / 2, axis=1) for z in logits]
    pairs = [(np.exp(p[j]) * (p[j] - p[k])).sum(1).mean() for k in range(3) for j in range(3) if j != k]
    kd = 4 * sum(pairs) / (2 if reduction == "mean" else 1)
    assert losses.total.item() == pytest.approx(sum(ce) + 0.7 * kd, rel=1e-6)
    parts = {name: part.item() for name, part in losses.parts.items()}
    assert parts == pytest.approx({"ce": ce[0], "ce_peer1": ce[1], "ce_peer2": ce[2], "kd": kd}, rel=1e-6)
    np.testing.assert_allclose(losses.logits.detach(), logits[0])


def test_weight_one_and_evaluation_mode(network, check_plain_cases):
    check_plain_cases(build(network))


def test_student_is_taught_by_constant_peers(network, batch):
    x, labels = batch()
    method = build(network, weight=0.5, temperature=2.0)
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


def test_without_weight_the_student_is_the_baseline_bit_for_bit(network, train):
    method, baseline = build(network, weight=0.0), CrossEntropy(network(0))
    train(method, range(5))
    train(baseline, range(5))
    for a, b in zip(method.model.state_dict().values(), baseline.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_saved_state_continues_to_the_same_bits(network, check_continues):
    check_continues(lambda: build(network), stop=3, steps=6)


def test_peers_have_weights_of_their_own_that_depend_on_the_seed(network, run):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a, b = (build_method(DmlConfig(peers=3), network(), run(10)) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    weights = [net.linear.weight for net in (a.model, *a.peers)]
    assert len(weights) == 3
    assert len({tuple(weight.flatten().tolist()) for weight in weights}) == 3
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_built_from_a_section_it_learns(network, train, run, accuracy):
    method = build_method(DmlConfig(), network(), run(60))
    assert len(method.peers) == 1
    train(method, range(60))
    assert list(method.model.state_dict()) == list(network().state_dict())
    assert accuracy(method.model) > 0.8
