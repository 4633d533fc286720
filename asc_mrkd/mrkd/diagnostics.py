"""What a step tells about its teachers: all of it from tensors at hand, none of it with gradients."""

import torch
from torch import Tensor
from torch.nn import functional as F

from asc_mrkd.mrkd.adjustment import Adjustment, is_wrong, log_target
from asc_mrkd.mrkd.losses import Labels, MixedLabels, at_least_float32


@torch.no_grad()
def teacher_diagnostics(
    teachers: Tensor, joined: Tensor | None, student: Tensor, labels: Labels, temperature: float, adjustment: Adjustment
) -> dict[str, Tensor]:
    """Return scalars, means over the batch; of a mixed batch the first label counts.

    - `teacher_accuracy_i`, `teacher_disagreement_i`: of the i-th youngest backup, with the labels and from the student;
    - `teacher_divergence`: Jensen-Shannon divergence among the backups at tau, in nats;
    - `ensemble_accuracy`, `ensemble_std`: of what the ensemble says, before the adjustment;
    - `adjusted`: share of the targets in which the true class is not on top by itself;
    - `target_entropy` (nats), `target_probability` of the true class: of the target at tau, after the adjustment;
    - `gradient_ratio`: norm of the gradient of tau^2 KL over that of the cross-entropy, at the student's logits.

    Args:
        teachers: logits of the real backups (copy, batch, class).
        joined: logits of the ensemble (batch, class); None without one.
        student: its logits (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        temperature: tau.
        adjustment: of the target.
    """
    truth = labels.first if isinstance(labels, MixedLabels) else labels
    teachers, student = at_least_float32(teachers), at_least_float32(student)
    decisions, own = teachers.argmax(2), student.argmax(1)
    values: dict[str, Tensor] = {}
    for i, decision in enumerate(decisions, start=1):
        values[f"teacher_accuracy_{i}"] = (decision == truth).float().mean()
        values[f"teacher_disagreement_{i}"] = (decision != own).float().mean()
    log_p = F.log_softmax(teachers / temperature, dim=2)
    values["teacher_divergence"] = _entropy(log_p.exp().mean(0).log()) - _entropy(log_p)
    if joined is not None:
        values["ensemble_accuracy"] = (joined.argmax(1) == truth).float().mean()
        values["ensemble_std"] = joined.std()
    sources = teachers if joined is None else joined.unsqueeze(0)
    values["adjusted"] = torch.stack([is_wrong(z, truth) for z in sources]).float().mean()
    targets = torch.stack([log_target(z, labels, temperature, adjustment) for z in sources])
    values["target_entropy"] = _entropy(targets)
    target = targets.exp().mean(0)
    values["target_probability"] = target.gather(1, truth.unsqueeze(1)).mean()
    values["gradient_ratio"] = _gradient_ratio(target, student, labels, temperature)
    return values


def _entropy(log_p: Tensor) -> Tensor:
    """Return the mean entropy of distributions (..., class), in nats."""
    return torch.special.entr(log_p.exp()).sum(-1).mean()


def _gradient_ratio(target: Tensor, student: Tensor, labels: Labels, temperature: float) -> Tensor:
    """Return the ratio of norms; the gradients are tau (q - p) / N and (softmax(s) - onehot) / N."""
    one_hot = F.one_hot(labels.first if isinstance(labels, MixedLabels) else labels, student.shape[1]).to(student.dtype)
    if isinstance(labels, MixedLabels):
        weight = labels.weight.to(student.dtype).unsqueeze(1)
        one_hot = weight * one_hot + (1 - weight) * F.one_hot(labels.second, student.shape[1])
    of_kl = temperature * (F.softmax(student / temperature, dim=1) - target)
    of_ce = F.softmax(student, dim=1) - one_hot
    return of_kl.norm() / of_ce.norm().clamp(min=torch.finfo(student.dtype).tiny)
