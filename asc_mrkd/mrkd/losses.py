"""The two terms of Eq. 4 and 8; softmax and sums are taken in float32 or wider."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError


@dataclass(frozen=True)
class MixedLabels:
    """Labels of inputs mixed as weight * first + (1 - weight) * second.

    Raises:
        ConfigError: the weight is not a tensor (batch,).
    """

    first: Tensor
    """Class indices (batch,)."""
    second: Tensor
    """Class indices (batch,)."""
    weight: Tensor
    """Lambda of Mixup (batch,), float in [0, 1]."""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Tensor) or self.weight.shape != self.first.shape:
            raise ConfigError(
                f"the weight of mixed labels is {kind_of(self.weight)}, not one number per input (batch,)",
                "torch.full((len(x),), weight) gives all inputs the same weight",
            )


Labels = Tensor | MixedLabels
"""Class indices (batch,), or those of a mixed batch."""


def require_class_indices(labels: Labels) -> None:
    """Refuse labels that are not class indices; values on a GPU are not looked at, because that would wait for it.

    Raises:
        ConfigError: the labels are soft, one-hot or of another type, or one is negative.
    """
    for indices in (labels.first, labels.second) if isinstance(labels, MixedLabels) else (labels,):
        if not is_integers(indices):
            raise ConfigError(
                f"the labels are {kind_of(indices)}, not class indices (batch,)",
                "class indices are int64; MixedLabels(first, second, weight) are the labels of a mixed batch",
            )
        if indices.device.type == "cpu" and (indices < 0).any():
            raise ConfigError(
                f"the label {indices.min()} is not the index of a class",
                "leave samples without a label out of the batch",
            )


def is_integers(values: Any) -> bool:
    """Return whether this is a tensor of integers (row,), which can count classes or samples.

    >>> [is_integers(values) for values in (torch.tensor([1, 2]), torch.tensor([True, False]), [1, 2])]
    [True, False, False]
    """
    return isinstance(values, Tensor) and values.dim() == 1 and values.dtype in (torch.int32, torch.int64)


def kind_of(value: Any) -> str:
    """Return type and shape of a value that is not what it should be, for a message.

    >>> kind_of(torch.zeros(2, 3)), kind_of([1, 2])
    ('a tensor (2, 3) of torch.float32', 'a list')
    """
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"


@dataclass(frozen=True)
class Losses:
    """Result of one batch."""

    total: Tensor
    """Loss to back-propagate, a scalar."""
    logits: Tensor
    """Logits of the student (batch, class)."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Detached scalars for the log: the terms of the loss, diagnostics."""


_class_weights: ContextVar[Tensor | None] = ContextVar("class_weights", default=None)


@contextmanager
def weighted_classes(weights: Tensor | None) -> Iterator[None]:
    """Weigh the classes in every `cross_entropy` within the block; None weighs none.

    The mean is still over the samples, not over their weights, so that parts of a batch add up.

    Args:
        weights: factor on the loss of each class (class,).

    >>> with weighted_classes(torch.tensor([2.0, 0.5])):
    ...     round(float(cross_entropy(torch.zeros(1, 2), torch.tensor([0]))), 4)
    1.3863
    """
    token = _class_weights.set(weights)
    try:
        yield
    finally:
        _class_weights.reset(token)


def cross_entropy(logits: Tensor, labels: Labels, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy (Eq. 2); for a mixed batch, the two labels' losses weighted sample by sample.

    Within `weighted_classes` every loss has the factor of its class.

    Args:
        logits: (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        smoothing: share of the labels that is spread evenly over all classes.
    """
    logits = at_least_float32(logits)
    if isinstance(labels, MixedLabels):
        first = _sample_losses(logits, labels.first, smoothing)
        second = _sample_losses(logits, labels.second, smoothing)
        weight = labels.weight.to(first.dtype)
        return (weight * first + (1 - weight) * second).mean()
    if _class_weights.get() is not None:
        return _sample_losses(logits, labels, smoothing).mean()
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _sample_losses(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy of each sample (batch,), with the factor of its class."""
    weights = _class_weights.get()
    if weights is not None:
        weights = weights.to(logits.dtype)
    return F.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=smoothing)


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
