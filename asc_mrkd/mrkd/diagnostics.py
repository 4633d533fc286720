"""Figures about the teachers of one step, from tensors at hand and without gradients."""

import torch
from torch import Tensor
from torch.nn import functional as F

from asc_mrkd.mrkd.adjustment import Adjustment, is_wrong, log_target
from asc_mrkd.mrkd.losses import Labels, MixedLabels, at_least_float32


@torch.no_grad()
def teacher_diagnostics(
    backup_logits: Tensor,
    ensemble_logits: Tensor | None,
    student_logits: Tensor,
    labels: Labels,
    temperature: float,
    adjustment: Adjustment,
) -> dict[str, Tensor]:
    """Return scalars, means over the batch; of a mixed batch the first label counts.

    - `teacher_accuracy_i`, `teacher_disagreement_i`: share of right decisions of the i-th youngest backup, and share
      of its decisions that differ from the student's;
    - `teacher_divergence`: Jensen-Shannon divergence among the backups at tau, in nats;
    - `ensemble_accuracy`, `ensemble_std`: accuracy and standard deviation of the ensemble logits before the adjustment;
    - `adjusted`: share of the targets whose largest value is not the true class before the adjustment;
    - `target_entropy` (nats), `target_probability` of the true class: of the target at tau, after the adjustment;
    - `gradient_ratio`: norm of the gradient of tau^2 KL over that of the cross-entropy, at the student's logits.

    Args:
        backup_logits: logits of the real backups (backup, batch, class).
        ensemble_logits: logits of the ensemble (batch, class); None without an ensemble.
        student_logits: (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        temperature: tau.
        adjustment: adjustment of the target.
    """
    truth = labels.first if isinstance(labels, MixedLabels) else labels
    backup_logits = at_least_float32(backup_logits)
    student_logits = at_least_float32(student_logits)
    student_decision = student_logits.argmax(1)
    values: dict[str, Tensor] = {}
    for i, decision in enumerate(backup_logits.argmax(2), start=1):
        values[f"teacher_accuracy_{i}"] = (decision == truth).float().mean()
        values[f"teacher_disagreement_{i}"] = (decision != student_decision).float().mean()
    log_p = F.log_softmax(backup_logits / temperature, dim=2)
    values["teacher_divergence"] = _mean_entropy(log_p.exp().mean(0).log()) - _mean_entropy(log_p)
    if ensemble_logits is None:
        sources = backup_logits
    else:
        values["ensemble_accuracy"] = (ensemble_logits.argmax(1) == truth).float().mean()
        values["ensemble_std"] = ensemble_logits.std()
        sources = ensemble_logits.unsqueeze(0)
    values["adjusted"] = torch.stack([is_wrong(z, truth) for z in sources]).float().mean()
    log_targets = torch.stack([log_target(z, labels, temperature, adjustment) for z in sources])
    values["target_entropy"] = _mean_entropy(log_targets)
    target = log_targets.exp().mean(0)
    values["target_probability"] = target.gather(1, truth.unsqueeze(1)).mean()
    values["gradient_ratio"] = _gradient_ratio(target, student_logits, labels, temperature)
    return values


def _mean_entropy(log_p: Tensor) -> Tensor:
    """Return the mean entropy of distributions (..., class), in nats."""
    return torch.special.entr(log_p.exp()).sum(-1).mean()


def _gradient_ratio(target: Tensor, student_logits: Tensor, labels: Labels, temperature: float) -> Tensor:
    """Return the ratio of norms; the gradients are tau (q - p) / N and (softmax(s) - onehot) / N."""
    kl_gradient = temperature * (F.softmax(student_logits / temperature, dim=1) - target)
    ce_gradient = F.softmax(student_logits, dim=1) - _one_hot(labels, student_logits)
    return kl_gradient.norm() / ce_gradient.norm().clamp(min=torch.finfo(student_logits.dtype).tiny)


def _one_hot(labels: Labels, like: Tensor) -> Tensor:
    """Return the labels as distributions (batch, class) in the type of `like`."""
    classes = like.shape[1]
    if isinstance(labels, MixedLabels):
        weight = labels.weight.to(like.dtype).unsqueeze(1)
        first = F.one_hot(labels.first, classes).to(like.dtype)
        return weight * first + (1 - weight) * F.one_hot(labels.second, classes)
    return F.one_hot(labels, classes).to(like.dtype)
