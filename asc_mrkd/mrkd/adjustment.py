"""Knowledge adjustment (section 3.4): correct a teacher whose largest value is not at the true class."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from asc_mrkd.errors import require_known
from asc_mrkd.mrkd.losses import Labels, MixedLabels, at_least_float32, kl_divergence

Adjustment = Literal["swap", "revision", "skip_wrong", "mask", "none"]
"""Treatment of samples on which the teacher is wrong. `swap`, the paper's: the values of the true class and of the
largest class change places. `revision`: the target moves towards the label. `skip_wrong`: the sample is left out.
`mask`: classes above the true one are left out. `none`: nothing changes. Right predictions always stay as they are."""

REVISION = 0.8
"""Eta of the revision; a lower value gives the label more weight (Lan et al., "Improve Knowledge Distillation via Label
Revision and Data Selection", 2024)."""


def knowledge_adjustment(logits: Tensor, labels: Tensor) -> Tensor:
    """Swap the value at the true class with the largest value; a right prediction stays as it is.

    Swapping commutes with softmax, so both logits and probabilities may be given. Of equal maxima the first counts,
    unless the true class is one of them. The input is not modified; gradients follow the swap.

    Args:
        logits: (batch, class).
        labels: class indices (batch,).

    Returns:
        (batch, class), the same values in another order.

    >>> knowledge_adjustment(torch.tensor([[1.0, 3.0, -1.0]]), torch.tensor([0])).tolist()
    [[3.0, 1.0, -1.0]]
    """
    label = labels.unsqueeze(1)
    at_label = logits.gather(1, label)
    largest, top = logits.max(dim=1, keepdim=True)
    top = torch.where(at_label == largest, label, top)
    return logits.scatter(1, top, at_label).scatter(1, label, largest)


def log_target(logits: Tensor, labels: Labels, temperature: float, adjustment: Adjustment = "swap") -> Tensor:
    """Return log p_correct of Eq. 8: the log-softmax of the adjusted logits at `temperature`.

    For a mixed batch it is the mixture of the targets adjusted to either label, with Mixup's weight; a weight of 1
    gives the plain target. `skip_wrong` and `mask` leave the target as it is: they change the comparison.

    Args:
        logits: teacher logits (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        temperature: tau.
        adjustment: treatment of wrong teachers.

    Returns:
        log-probabilities (batch, class), float32 or wider.

    Raises:
        ConfigError: there is no such adjustment.
    """
    require_known(adjustment, get_args(Adjustment), "adjustment")
    logits = at_least_float32(logits)
    if adjustment not in ("swap", "revision"):
        return F.log_softmax(logits / temperature, dim=1)
    if isinstance(labels, MixedLabels):
        weight = labels.weight.to(logits.dtype).unsqueeze(1)
        first = log_target(logits, labels.first, temperature, adjustment)
        second = log_target(logits, labels.second, temperature, adjustment)
        return torch.logaddexp(weight.log() + first, (1 - weight).log() + second)
    if adjustment == "revision":
        return _revised(F.log_softmax(logits / temperature, dim=1), labels)
    return F.log_softmax(knowledge_adjustment(logits, labels) / temperature, dim=1)


def adjusted_divergence(
    teacher: Tensor, student: Tensor, labels: Labels, temperature: float, adjustment: Adjustment = "swap"
) -> Tensor:
    """Return the KL term of Eq. 8, from the adjusted teacher to the student, averaged over the batch; without tau^2.

    Args:
        teacher: logits of the teacher (batch, class); gradients reach them as well.
        student: logits of the student (batch, class).
        labels: class indices (batch,) or `MixedLabels`, for which `skip_wrong` and `mask` weight the two labels' terms.
        temperature: tau.
        adjustment: treatment of wrong teachers.
    """
    if adjustment not in ("skip_wrong", "mask"):
        return kl_divergence(log_target(teacher, labels, temperature, adjustment), student, temperature)
    if isinstance(labels, MixedLabels):
        first = _divergence_per_sample(teacher, student, labels.first, temperature, adjustment)
        second = _divergence_per_sample(teacher, student, labels.second, temperature, adjustment)
        weight = labels.weight.to(first.dtype)
        return (weight * first + (1 - weight) * second).mean()
    return _divergence_per_sample(teacher, student, labels, temperature, adjustment).mean()


def is_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Return where another class has a higher value than the true one, (batch,); a tie is right."""
    return logits.gather(1, labels.unsqueeze(1)).squeeze(1) < logits.amax(1)


def _revised(log_p: Tensor, labels: Tensor) -> Tensor:
    """Mix a wrong target with the label as beta p + (1 - beta) onehot, beta = eta / (p_max - p_label + 1)."""
    label = labels.unsqueeze(1)
    p = log_p.detach().exp()
    beta = REVISION / (p.amax(1, keepdim=True) - p.gather(1, label) + 1)
    mixed = log_p + beta.log()
    at_label = torch.logaddexp(mixed.gather(1, label), (1 - beta).log())
    wrong = is_wrong(p, labels).unsqueeze(1)
    return torch.where(wrong, mixed.scatter(1, label, at_label), log_p)


def _divergence_per_sample(
    teacher: Tensor, student: Tensor, labels: Tensor, temperature: float, adjustment: str
) -> Tensor:
    """Return the divergence of every sample (batch,) under `skip_wrong` or `mask`."""
    log_p = F.log_softmax(at_least_float32(teacher) / temperature, dim=1)
    log_q = F.log_softmax(at_least_float32(student) / temperature, dim=1)
    if adjustment == "mask":
        return _masked_divergence(log_p, log_q, labels)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1) * ~is_wrong(teacher, labels)


def _masked_divergence(log_p: Tensor, log_q: Tensor, labels: Tensor) -> Tensor:
    """Return the divergence (batch,) over the true class and the classes below it.

    It has two terms: the KL of (p_max, 1 - p_max) from (q_label, 1 - q_label), where the teacher's largest probability
    stands for the true class, and 1 - p_max times the KL among the classes below the true one. For a right teacher
    their sum is the whole KL. Sun et al., "Knowledge Distillation with Refined Logits" (ICCV 2025), weight two such
    terms separately.
    """
    label = labels.unsqueeze(1)
    below = (log_p <= log_p.gather(1, label)).scatter(1, label, False)
    top = log_p.amax(1)
    at_label = log_q.gather(1, label).squeeze(1)
    rest_p = _log_of_rest(top)
    rest_q = _log_of_rest(at_label)
    binary = top.exp() * (top - at_label) + rest_p.exp() * (rest_p - rest_q)
    among_p = F.log_softmax(log_p.masked_fill(~below, -1e4), dim=1)
    among_q = F.log_softmax(log_q.masked_fill(~below, -1e4), dim=1)
    among = (among_p.exp() * (among_p - among_q)).masked_fill(~below, 0).sum(1)
    return binary + rest_p.exp() * among


def _log_of_rest(log_p: Tensor) -> Tensor:
    """Return log(1 - p), finite also where p rounds to 1."""
    return torch.log1p(-log_p.exp().clamp(max=1 - torch.finfo(log_p.dtype).eps))
