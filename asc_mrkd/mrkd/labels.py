"""Labels of a batch: plain, or the two labels and the weight of Mixup."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MixedLabels:
    """Labels of inputs mixed as weight * first + (1 - weight) * second.

    Attributes:
        first: class indices (batch,).
        second: class indices (batch,).
        weight: lambda of Mixup (batch,), float in [0, 1].
    """

    first: Tensor
    second: Tensor
    weight: Tensor


Labels = Tensor | MixedLabels
"""Class indices (batch,), or those of a mixed batch."""
