"""Born-again networks."""

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
from asc_mrkd.methods.ban import Ban
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.models.pruning import attach_masks, set_masks

STEPS = 4  # of a generation


def build_ban(**options) -> Ban:
    return Ban(make_network(), make_network, STEPS, seed=0, generations=3, **options)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a | b)


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_of_a_later_generation_is_that_of_the_formula(mixup):
    method = build_ban(alpha=0.3, temperature=2.0)
    train_method(method, range(STEPS))
    before = copy.deepcopy(method.model)
    method.double()
    teacher = before.double().eval()
    x, labels = make_batch(99)
    given = mix_labels(labels, 0.6) if mixup else labels
    losses = method(x.double(), given)
    s, t = (net(x.double()).detach().numpy() for net in (method.model, teacher))
    p = log_softmax(t / 2, axis=1)
    ce = -(label_distributions(given) * log_softmax(s, axis=1)).sum(1).mean()
    kd = 4 * (np.exp(p) * (p - log_softmax(s / 2, axis=1))).sum(1).mean()
    assert losses.total.item() == pytest.approx(0.7 * ce + 0.3 * kd, rel=1e-6)
    assert {k: v.item() for k, v in losses.parts.items()} == pytest.approx({"ce": ce, "kd": kd}, rel=1e-6)


def test_weight_one_and_evaluation_mode():
    method = build_ban()
    train_method(method, range(STEPS + 1))
    check_plain_cases(method)


def test_first_generation_is_the_baseline_bit_for_bit_and_becomes_the_teacher():
    method, baseline = build_ban(), CrossEntropy(make_network())
    assert train_method(method, range(STEPS)) == train_method(baseline, range(STEPS))
    assert same(method.model.state_dict(), baseline.model.state_dict())  # to be scored before the next one begins
    train_method(method, range(STEPS, STEPS + 1))
    assert same(method.teacher[0], baseline.model.state_dict())


def test_every_generation_starts_from_weights_of_its_own_and_the_last_one_stays():
    method, starts, ends = build_ban(), [], []
    for generation in range(3):
        assert method.current_generation() == generation
        method(*make_batch())
        starts.append(copy.deepcopy(method.model.state_dict()))
        train_method(method, range(STEPS * generation, STEPS * (generation + 1)))
        ends.append(copy.deepcopy(method.model.state_dict()))
    assert not any(same(starts[a], starts[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert starts[1]["first.1.num_batches_tracked"] == 1
    assert same(method.teacher[0], ends[1])
    assert same(method.model.state_dict(), ends[2])
    assert method.current_generation() == 2


def test_the_teacher_keeps_the_masks_of_its_generation():
    """A pruned training clears the masks before the first batch of the next generation."""

    def masked(seed: int = 0) -> torch.nn.Module:
        network = make_network(seed)
        attach_masks(network)
        return network

    method = Ban(masked(), masked, STEPS, seed=0)
    set_masks(method.model, 0.5)
    train_method(method, range(STEPS))
    x, labels = make_batch()
    expected = copy.deepcopy(method.model).eval()(x)
    set_masks(method.model, 0.0)
    method(x, labels)
    assert torch.equal(method.teacher(x)[0], expected)


def test_parameters_stay_the_same_objects():
    method = build_ban()
    parameters = list(method.parameters())
    train_method(method, range(STEPS + 1))
    assert all(a is b for a, b in zip(parameters, method.parameters(), strict=True))
    assert len(parameters) == len(list(make_network().parameters()))


def test_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    method = build_ban()
    train_method(method, range(STEPS + 1))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("stop", [2, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS, 3 * STEPS - 1])
def test_saved_state_continues_to_the_same_bits(tmp_path, stop):
    check_continues(tmp_path, lambda: build_ban(), stop=stop, steps=3 * STEPS)


def test_wrapped_student_gives_the_same_losses():
    plain = build_ban()
    wrapped = Ban(torch.compile(make_network(), backend="eager"), make_network, STEPS, seed=0, generations=3)
    assert train_method(wrapped, range(6)) == pytest.approx(train_method(plain, range(6)), rel=1e-5)


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="ban"), make_network(), make_context(60))
    train_method(method, range(120))
    assert method.teacher.filled == 1
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
