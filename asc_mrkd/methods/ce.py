"""Cross-entropy on the labels alone: the baseline of every comparison."""

from typing import Any

from torch import nn

from asc_mrkd.methods.base import Method, label_losses
from asc_mrkd.mrkd.losses import Labels, Losses


class CrossEntropy(Method):
    """Training with labels only (Eq. 2): the baseline.

    Args:
        model: the student.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the cross-entropy of a batch."""
        return label_losses(self.model, x, labels)
