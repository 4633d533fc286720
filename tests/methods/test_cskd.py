"""Class-wise self-knowledge distillation."""

import copy

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

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.cskd import Cskd


@pytest.fixture
def pair():
    """Return a function (step, x, labels) that makes another sample of the same class for each, as the engine does."""

    def make(number, x, labels):
        others, their_labels = make_batch(5000 + number, size=300)
        return torch.stack([others[their_labels == label][0] for label in labels])

    return make


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(pair, mixup):
    method = Cskd(make_network().double(), weight=2.0, temperature=3.0)
    x, labels = make_batch()
    partner = pair(0, x, labels).double()
    given = mix_labels(labels, 0.6) if mixup else labels
    reference = copy.deepcopy(method.model)
    s, t = (reference(inputs).detach().numpy() for inputs in (x.double(), partner))
    losses = method(x.double(), given, pair=partner)
    p, q = log_softmax(t / 3, axis=1), log_softmax(s / 3, axis=1)
    ce = -(label_distributions(given) * log_softmax(s, axis=1)).sum(1).mean()
    kd = 9 * (np.exp(p) * (p - q)).sum(1).mean()
    assert losses.total.item() == pytest.approx(ce + 2 * kd, rel=1e-9)
    assert {k: v.item() for k, v in losses.parts.items()} == pytest.approx({"ce": ce, "kd": kd}, rel=1e-9)


def test_partner_gets_no_gradient_but_counts_in_the_statistics(pair):
    method, alone = Cskd(make_network()), make_network()
    x, labels = make_batch()
    partner = pair(0, x, labels)
    losses = method(x, labels, pair=partner)
    gradient = torch.autograd.grad(losses.total, losses.logits)[0]
    p, q = (z.detach().div(4).softmax(1) for z in (alone(partner), losses.logits))
    one_hot = torch.nn.functional.one_hot(labels, 3)
    expected = (losses.logits.detach().softmax(1) - one_hot + 4 * (q - p)) / len(x)
    torch.testing.assert_close(gradient, expected)
    assert method.model[0][1].num_batches_tracked == 2


def test_weight_one_and_evaluation_mode(pair):
    x, labels = make_batch()
    check_plain_cases(Cskd(make_network()), pair=pair(0, x, labels))


def test_saved_state_continues_to_the_same_bits(pair, tmp_path):
    check_continues(tmp_path, lambda: Cskd(make_network()), stop=3, steps=6, pair=pair)


def test_built_from_a_section_it_learns(pair):
    method = build_method(MethodConfig(name="cskd"), make_network(), make_context(60))
    train_method(method, range(60), pair=pair)
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
