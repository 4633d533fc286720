"""Self-distillation from the last mini-batch."""

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
from asc_mrkd.methods.dlb import Dlb


@pytest.fixture
def previous():
    """Return a function (step, x, labels) that gives the batch before in another view, as the engine does."""

    def make(number, x, labels):
        if number == 0:
            return None
        inputs, their_labels = make_batch(number - 1)
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(number))
        return inputs + 0.1 * noise, their_labels

    return make


def test_first_step_is_cross_entropy():
    x, labels = make_batch()
    losses = Dlb(make_network())(x, labels, previous=None)
    assert torch.equal(losses.total, torch.nn.functional.cross_entropy(make_network()(x), labels))
    assert list(losses.parts) == ["ce"]


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup):
    """A batch of 12 after one of 7, as at the beginning of an epoch."""
    method = Dlb(make_network().double(), weight=2.0, temperature=3.0)
    x_before, labels_before = make_batch(1, size=7)
    method(x_before.double(), labels_before, previous=None)
    then = copy.deepcopy(make_network().double())(x_before.double()).detach().numpy()
    x, labels = make_batch(2)
    given = [mix_labels(y, 0.6) if mixup else y for y in (labels, labels_before)]
    view = x_before.double() + 0.1
    reference = copy.deepcopy(method.model)
    both = reference(torch.cat([view, x.double()])).detach().numpy()
    losses = method(x.double(), given[0], previous=(view, given[1]))
    log_q = log_softmax(both, axis=1)
    ce = -(np.concatenate([label_distributions(given[1]), label_distributions(given[0])]) * log_q).sum(1).mean()
    p = log_softmax(then / 3, axis=1)
    kd = 9 * (np.exp(p) * (p - log_softmax(both[:7] / 3, axis=1))).sum(1).mean()
    assert losses.total.item() == pytest.approx(ce + 2 * kd, rel=1e-9)
    of_now = -(label_distributions(given[0]) * log_q[7:]).sum(1).mean()
    assert {k: v.item() for k, v in losses.parts.items()} == pytest.approx({"ce": of_now, "kd": kd}, rel=1e-9)
    np.testing.assert_allclose(losses.logits.detach().numpy(), both[7:])
    np.testing.assert_allclose(method.previous_logits.numpy(), both[7:])


def test_what_was_said_gets_no_gradient(previous):
    method = Dlb(make_network())
    x, labels = make_batch(0)
    method(x, labels, previous=None).total.backward()
    losses = method(*make_batch(1), previous=previous(1, x, labels))
    losses.total.backward()  # would fail if it led back into the first step, whose graph is gone
    assert losses.logits.requires_grad
    assert not method.previous_logits.requires_grad


@pytest.mark.parametrize("sizes", [(12, 5), (5, 12), (12,)])
def test_logits_of_a_batch_of_any_size_are_saved(tmp_path, sizes):
    method, previous = Dlb(make_network()), None
    for number, size in enumerate(sizes):
        x, labels = make_batch(number, size=size)
        method(x, labels, previous=previous)
        previous = (x, labels)
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other = Dlb(make_network(1))
    other(*make_batch(9, size=3), previous=None)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other.previous_logits, method.previous_logits)
    assert len(other.previous_logits) == sizes[-1]
    assert other.previous_logits.untyped_storage().nbytes() == other.previous_logits.nbytes


def test_after_a_step_that_was_undone_nothing_teaches_the_next_one():
    """The logits at hand are then those of the batch before the previous one, which has another size here."""
    method = Dlb(make_network())
    method(*make_batch(0, size=12), previous=None)
    method.step()
    before = copy.deepcopy(method.state_dict())
    skipped = make_batch(1, size=5)
    method(*skipped, previous=make_batch(0, size=12))
    method.load_state_dict(before)
    method.step()
    x, labels = make_batch(2, size=12)
    losses = method(x, labels, previous=skipped)
    assert torch.equal(losses.total, torch.nn.functional.cross_entropy(method.model(x), labels))
    method.step()
    assert "kd" in method(*make_batch(3), previous=(x, labels)).parts


def test_weight_one_and_evaluation_mode(previous):
    method = Dlb(make_network(), weight=0.0)  # what was said changes from call to call
    x, labels = make_batch()
    method(*make_batch(1), previous=None)
    check_plain_cases(method, previous=previous(2, x, labels))


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_saved_state_continues_to_the_same_bits(previous, tmp_path, stop):
    check_continues(tmp_path, lambda: Dlb(make_network()), stop=stop, steps=6, previous=previous)


def test_built_from_a_section_it_learns(previous):
    method = build_method(MethodConfig(name="dlb"), make_network(), make_context(60))
    train_method(method, range(60), previous=previous)
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
