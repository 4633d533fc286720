"""Cross-entropy on smoothed labels.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (CVPR 2016).
"""

from typing import Any

from torch import nn

from asc_mrkd.methods.base import Method, label_losses
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy
from asc_mrkd.schema import Fraction


class LabelSmoothing(Method):
    """Labels that leave a share to all classes.

    Args:
        model: the student.
        epsilon: share of the labels that is spread evenly over all classes, the true one included.
    """

    def __init__(self, model: nn.Module, *, epsilon: Fraction = 0.1) -> None:
        super().__init__()
        self.model = model
        self.epsilon = epsilon

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the cross-entropy with the smoothed labels; its part `ce` is that with the labels."""
        losses = label_losses(self.model, x, labels)
        if not self.epsilon:
            return losses
        return Losses(cross_entropy(losses.logits, labels, self.epsilon), losses.logits, losses.parts)
