"""The two terms of Eq. 4 and 8; softmax and sums are taken in float32 or wider."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MixedLabels:
    """Labels of inputs mixed as weight * first + (1 - weight) * second."""

    first: Tensor
    """Class indices (batch,)."""
    second: Tensor
    """Class indices (batch,)."""
    weight: Tensor
    """Lambda of Mixup (batch,), float in [0, 1]."""


Labels = Tensor | MixedLabels
"""Class indices (batch,), or those of a mixed batch."""


@dataclass(frozen=True)
class Losses:
    """Result of one batch."""

    total: Tensor
    """Loss to back-propagate, a scalar."""
    logits: Tensor
    """Logits of the student (batch, class)."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Detached scalars for the log: the terms of the loss, diagnostics."""


def cross_entropy(logits: Tensor, labels: Labels, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy (Eq. 2); for a mixed batch, the two labels' losses weighted sample by sample.

    Args:
        logits: (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        smoothing: share of the labels that is spread evenly over all classes.
    """
    logits = at_least_float32(logits)
    if isinstance(labels, MixedLabels):
        first = F.cross_entropy(logits, labels.first, reduction="none", label_smoothing=smoothing)
        second = F.cross_entropy(logits, labels.second, reduction="none", label_smoothing=smoothing)
        weight = labels.weight.to(first.dtype)
        return (weight * first + (1 - weight) * second).mean()
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def kl_divergence(log_target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return KL(target || softmax(logits / temperature)) of Eq. 3: summed over classes, averaged over the batch.

    Args:
        log_target: log-probabilities (batch, class); gradients reach them as well.
        logits: student logits (batch, class).
        temperature: tau; the factor tau^2 of Eq. 4 is not included.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> float(kl_divergence((logits / 4).log_softmax(1), logits, 4.0))
    0.0
    """
    log_student = F.log_softmax(at_least_float32(logits) / temperature, dim=1)
    return F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)


def at_least_float32(logits: Tensor) -> Tensor:
    """Widen half-precision logits; float32 and float64 stay as they are."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        return logits.float()
    return logits
