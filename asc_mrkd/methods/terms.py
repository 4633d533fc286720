"""What the losses of several methods have in common."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.labels import Labels
from asc_mrkd.mrkd.losses import Losses, at_least_float32, cross_entropy, kl_divergence


def labels_alone(model: nn.Module, x: Any, labels: Labels) -> Losses:
    """Return the cross-entropy of a batch: what every method gives in evaluation mode or while nothing teaches yet."""
    logits = logits_of(model(x))
    ce = cross_entropy(logits, labels)
    return Losses(ce, logits, {"ce": ce.detach()})


def distillation(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return tau^2 KL(teacher || student) of two classifiers at the temperature tau; the teacher gets no gradient.

    Args:
        teacher: logits (batch, class).
        student: logits (batch, class).
        temperature: tau.

    >>> import torch
    >>> float(distillation(torch.eye(3), torch.eye(3), 4.0))
    0.0
    """
    log_target = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    return temperature**2 * kl_divergence(log_target, student, temperature)
