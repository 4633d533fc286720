"""Knowledge adjustment: the swap of the paper and its alternatives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd import MixedLabels, adjusted_divergence, kl_divergence, knowledge_adjustment, log_target

VARIANTS = ["swap", "revision", "skip_wrong", "mask"]
TAU = 2.0

logits_and_labels = st.integers(2, 8).flatmap(
    lambda m: st.lists(
        st.tuples(st.lists(st.integers(-9, 9), min_size=m, max_size=m), st.integers(0, m - 1)), min_size=1, max_size=6
    )
)


@settings(max_examples=200, deadline=None)
@given(logits_and_labels, st.sampled_from([torch.float16, torch.float32, torch.float64]))
def test_adjustment_keeps_values_and_tops_the_label(rows, dtype):
    logits = torch.tensor([row for row, _ in rows], dtype=dtype)
    labels = torch.tensor([label for _, label in rows])
    before = logits.clone()
    adjusted = knowledge_adjustment(logits, labels)
    assert torch.equal(logits, before)
    assert torch.equal(adjusted.sort(1).values, logits.sort(1).values)
    at_label = adjusted.gather(1, labels[:, None])[:, 0]
    assert torch.equal(at_label, adjusted.max(1).values)
    right = logits.gather(1, labels[:, None])[:, 0] == logits.max(1).values
    assert torch.equal(adjusted[right], logits[right])
    assert ((adjusted != logits).sum(1) <= 2).all()


def test_adjustment_commutes_with_softmax():
    logits, labels = torch.randn(50, 7, dtype=torch.double), torch.arange(50) % 7
    for tau in (1, 4):
        a = (knowledge_adjustment(logits, labels) / tau).softmax(1)
        torch.testing.assert_close(a, knowledge_adjustment((logits / tau).softmax(1), labels), rtol=0, atol=1e-15)


def test_extreme_ensemble_logits_give_finite_gradients():
    joined = torch.tensor([[500.0, -500.0, 0.0]], requires_grad=True)
    labels = MixedLabels(torch.tensor([1]), torch.tensor([2]), torch.tensor([1.0]))
    for target in (labels, labels.first):
        loss = kl_divergence(log_target(joined, target, 1.0), torch.zeros(1, 3), 1.0)
        (gradient,) = torch.autograd.grad(loss, joined)
        assert gradient.isfinite().all()


def test_one_hot_teacher_at_temperature_one_is_cross_entropy():
    student, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    target = log_target(F.one_hot(labels, 4) * 200.0, labels, 1.0)
    assert kl_divergence(target, student, 1.0).item() == pytest.approx(F.cross_entropy(student, labels).item())


def test_mixed_target_is_the_mixture_of_the_two_adjusted_targets():
    logits, weight = torch.randn(40, 6), torch.rand(40)
    first, second = torch.arange(40) % 6, (torch.arange(40) + 2) % 6
    target = log_target(logits, MixedLabels(first, second, weight), 3.0).exp()
    parts = [(knowledge_adjustment(logits, labels) / 3).softmax(1) for labels in (first, second)]
    torch.testing.assert_close(target, weight[:, None] * parts[0] + (1 - weight[:, None]) * parts[1])


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def divergence_by_hand(teacher: np.ndarray, student: np.ndarray, label: int, variant: str) -> float:
    """Return what one sample costs, written down sample by sample with probabilities."""
    p, q = softmax(teacher / TAU), softmax(student / TAU)
    wrong = p[label] < p.max()
    if variant == "skip_wrong" and wrong:
        return 0.0
    if variant == "swap" and wrong:
        top = p.argmax()
        p[top], p[label] = p[label], p[top]
    if variant == "revision" and wrong:
        beta = 0.8 / (p.max() - p[label] + 1)
        p = beta * p + (1 - beta) * np.eye(len(p))[label]
    if variant == "mask":  # one distribution over the true class, with the teacher's maximum, and the classes below it
        below = [m for m in range(len(p)) if m != label and p[m] <= p[label]]
        p_all, q_all = [p.max()], [q[label]]
        for m in below:
            p_all.append((1 - p.max()) * p[m] / p[below].sum())
            q_all.append((1 - q[label]) * q[m] / q[below].sum())
        if not below:
            p_all, q_all = [p.max(), 1 - p.max()], [q[label], 1 - q[label]]
        p, q = np.array(p_all), np.array(q_all)
    return float((p * np.log(p / q)).sum())


@pytest.mark.parametrize("variant", VARIANTS)
def test_divergence_of_every_variant_is_that_of_its_formula(variant):
    rng = np.random.default_rng(0)
    teacher, student, labels = 3 * rng.standard_normal((60, 6)), rng.standard_normal((60, 6)), np.arange(60) % 6
    teacher[0, 0] = teacher[0].min() - 1  # a true class with nothing below it
    expected = np.mean([divergence_by_hand(*row, variant) for row in zip(teacher, student, labels, strict=True)])
    given = [torch.from_numpy(values) for values in (teacher, student, labels)]
    assert adjusted_divergence(*given, TAU, variant).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=100, deadline=None)
@given(rows=logits_and_labels)
def test_every_variant_leaves_right_teachers_alone(variant, rows):
    logits = torch.tensor([row for row, _ in rows], dtype=torch.float64)
    labels = logits.argmax(1)
    student = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
    plain = adjusted_divergence(logits, student, labels, TAU, "none")
    torch.testing.assert_close(adjusted_divergence(logits, student, labels, TAU, variant), plain)


@settings(max_examples=100, deadline=None)
@given(logits_and_labels, st.sampled_from([torch.float16, torch.float64]))
def test_revised_target_is_a_distribution_with_the_label_on_top(rows, dtype):
    logits = torch.tensor([row for row, _ in rows], dtype=dtype)
    labels = torch.tensor([label for _, label in rows])
    before = logits.clone()
    target = log_target(logits, labels, TAU, "revision").exp()
    assert torch.equal(logits, before)
    torch.testing.assert_close(target.sum(1), torch.ones(len(rows), dtype=target.dtype))
    assert (target.gather(1, labels[:, None])[:, 0] >= target.max(1).values - 1e-6).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_do_not_care_how_the_other_classes_are_numbered(variant):
    teacher, student = torch.randn(20, 6, dtype=torch.double), torch.randn(20, 6, dtype=torch.double)
    labels = torch.full((20,), 2)
    order = torch.tensor([5, 3, 2, 0, 1, 4])
    a = adjusted_divergence(teacher, student, labels, TAU, variant)
    torch.testing.assert_close(adjusted_divergence(teacher[:, order], student[:, order], labels, TAU, variant), a)


@pytest.mark.parametrize("variant", [*VARIANTS, "none"])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_variants_have_finite_gradients(variant, scale):
    teacher, student = (scale * torch.randn(30, 5)).requires_grad_(), torch.randn(30, 5).requires_grad_()
    labels = torch.arange(30) % 5
    mixed = (MixedLabels(labels, labels.roll(1), weight) for weight in (torch.rand(30), torch.ones(30)))
    for target in (labels, *mixed):
        gradients = torch.autograd.grad(adjusted_divergence(teacher, student, target, TAU, variant), [teacher, student])
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("variant", VARIANTS)
def test_weight_one_of_mixup_is_the_plain_label(variant):
    teacher, student, labels = torch.randn(30, 5), torch.randn(30, 5), torch.arange(30) % 5
    mixed = MixedLabels(labels, labels.roll(1), torch.ones(30))
    a, b = (adjusted_divergence(teacher, student, target, TAU, variant) for target in (labels, mixed))
    torch.testing.assert_close(a, b)


def test_an_unknown_adjustment_is_not_taken_for_none():
    logits = torch.eye(3)
    with pytest.raises(ConfigError, match="there is no adjustment 'swop'") as caught:
        adjusted_divergence(logits, logits, torch.arange(3), TAU, "swop")
    assert caught.value.hint == "did you mean 'swap'?"
