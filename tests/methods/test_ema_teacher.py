"""A teacher that is the moving average of the student."""

import copy
import math

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
from asc_mrkd.methods.ema_teacher import EmaTeacher


def noisy(number, x, labels):
    """Return another view of a batch."""
    return x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup):
    method = EmaTeacher(make_network(), total_steps=20, decay=0.6, weight=2.0, temperature=3.0, ramp=0.5)
    averaged = {name: tensor.clone() for name, tensor in method.model.named_parameters()}
    for number in range(4):
        train_method(method, range(number, number + 1), second_view=noisy)
        decay = min(1 - 1 / (number + 2), 0.6)
        for name, tensor in method.model.named_parameters():
            averaged[name] = decay * averaged[name] + (1 - decay) * tensor.detach()
    teacher = copy.deepcopy(method.model)
    teacher.load_state_dict(averaged, strict=False)
    x, labels = make_batch(99)
    given = mix_labels(labels, 0.6) if mixup else labels
    view = noisy(99, x, labels)
    t, s = (
        net(inputs).detach().double().numpy() for net, inputs in ((teacher, view), (copy.deepcopy(method.model), x))
    )
    p = log_softmax(t / 3, axis=1)
    ce = -(label_distributions(given) * log_softmax(s, axis=1)).sum(1).mean()
    kd = 9 * (np.exp(p) * (p - log_softmax(s / 3, axis=1))).sum(1).mean()
    losses = method(x, given, second_view=view)
    weight = 2 * math.exp(-5 * (1 - 4 / 10) ** 2)
    assert losses.total.item() == pytest.approx(ce + weight * kd, rel=1e-5)
    assert {k: v.item() for k, v in losses.parts.items()} == pytest.approx({"ce": ce, "kd": kd}, rel=1e-4)


def test_weight_grows_along_its_ramp_and_stays():
    method, weights = EmaTeacher(make_network(), total_steps=10, weight=3.0, ramp=0.4), []
    for _ in range(7):
        weights.append(method.teacher_weight())
        method.step()
    expected = [3 * math.exp(-5 * (1 - t / 4) ** 2) for t in range(4)] + [3.0] * 3
    assert weights == pytest.approx(expected)
    assert EmaTeacher(make_network(), total_steps=10, ramp=0.0).teacher_weight() == 1.0


def test_teacher_gets_no_gradient_and_its_statistics_stay():
    method = EmaTeacher(make_network(), total_steps=10)
    before = {name: tensor.clone() for name, tensor in method.teacher[0].items()}
    x, labels = make_batch()
    method(x, labels, second_view=x).total.backward()
    assert not any(tensor.requires_grad for tensor in method.teacher[0].values())
    assert all(torch.equal(tensor, method.teacher[0][name]) for name, tensor in before.items())
    assert len(list(method.parameters())) == len(list(make_network().parameters()))


def test_weight_one_and_evaluation_mode():
    check_plain_cases(EmaTeacher(make_network(), total_steps=10), second_view=make_batch(7)[0])


@pytest.mark.parametrize("stop", [1, 4])
def test_saved_state_continues_to_the_same_bits(tmp_path, stop):
    check_continues(tmp_path, lambda: EmaTeacher(make_network(), total_steps=8), stop=stop, steps=8, second_view=noisy)


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="ema_teacher"), make_network(), make_context(60))
    train_method(method, range(60), second_view=noisy)
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert accuracy_of(method.model) > 0.8
