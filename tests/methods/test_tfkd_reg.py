"""Teacher-free knowledge distillation with a regularising target."""

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
from scipy.special import log_softmax, softmax
from torch.nn import functional as F

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.tfkd_reg import TfkdReg


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_that_of_the_formula(mixup):
    method = TfkdReg(make_network(), 3, alpha=0.3, temperature=4.0, correct=0.9).double()
    x, labels = make_batch()
    given = mix_labels(labels, 0.6) if mixup else labels
    virtual = np.full((3, 3), 0.05) + 0.85 * np.eye(3)
    target = label_distributions(given) @ softmax(np.log(virtual) / 4, axis=1)
    losses = method(x.double(), given)
    s = losses.logits.detach().numpy()
    ce = -(label_distributions(given) * log_softmax(s, axis=1)).sum(1).mean()
    kd = 16 * (target * (np.log(target) - log_softmax(s / 4, axis=1))).sum(1).mean()
    assert losses.total.item() == pytest.approx(0.7 * ce + 0.3 * kd, rel=1e-6)
    assert {k: v.item() for k, v in losses.parts.items()} == pytest.approx({"ce": ce, "kd": kd}, rel=1e-6)


def test_weight_one_and_evaluation_mode():
    check_plain_cases(TfkdReg(make_network(), 3))


def test_target_of_100_classes_at_the_published_setting():
    target = TfkdReg(torch.nn.Identity(), 100).target(torch.tensor([7]), torch.float64)
    ratio = (0.99 / (0.01 / 99)) ** (1 / 20)  # of the true class to each other one, as logits over tau
    assert target[0, 7].item() == pytest.approx(ratio / (ratio + 99))
    assert target.sum().item() == pytest.approx(1)
    assert target[0, :7].tolist() == pytest.approx([1 / (ratio + 99)] * 7)


def test_alpha_one_at_temperature_one_is_cross_entropy_with_smoothed_labels_but_for_a_constant():
    method = TfkdReg(make_network(), 3, alpha=1.0, temperature=1.0, correct=0.8)
    x, labels = make_batch()
    parameters = list(method.parameters())
    smoothed = F.cross_entropy(method.model(x), labels, label_smoothing=0.3)  # 0.7 + 0.1 for the true class
    for a, b in zip(
        torch.autograd.grad(method(x, labels).total, parameters), torch.autograd.grad(smoothed, parameters), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_low_temperature_and_half_precision_give_finite_losses():
    x, labels = make_batch()
    method = TfkdReg(make_network(), 3, temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        losses = method(x, labels)
    assert losses.logits.dtype == torch.bfloat16
    assert losses.total.dtype == torch.float32
    assert losses.total.isfinite()


def test_saved_state_continues_to_the_same_bits(tmp_path):
    check_continues(tmp_path, lambda: TfkdReg(make_network(), 3), stop=3, steps=6)


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="tfkd_reg"), make_network(), make_context(60))
    train_method(method, range(60))
    assert list(method.model.state_dict()) == list(make_network().state_dict())
    assert {name.partition(".")[0] for name in method.state_dict()} == {"model", "_extra_state"}
    assert accuracy_of(method.model) > 0.8
