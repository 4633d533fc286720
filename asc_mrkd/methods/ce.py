"""Cross-entropy on the labels alone, the baseline of every comparison, and its smoothed form."""

from typing import ClassVar

from torch import Tensor, nn

from asc_mrkd.methods.base import labels_alone
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy


class CrossEntropy(nn.Module):
    """The student and Eq. 2.

    Args:
        model: the student.
        smoothing: share of the labels that is spread evenly over all classes, the true one included (Szegedy et al.,
            "Rethinking the Inception Architecture for Computer Vision", CVPR 2016).
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: nn.Module, smoothing: float = 0.0) -> None:
        super().__init__()
        self.model, self.smoothing = model, smoothing

    def forward(self, x: Tensor, labels: Labels) -> Losses:
        """Return the cross-entropy of a batch."""
        losses = labels_alone(self.model, x, labels)
        if not self.smoothing or not self.training:
            return losses
        return Losses(cross_entropy(losses.logits, labels, self.smoothing), losses.logits, losses.parts)

    def step(self) -> None:
        """Do nothing: the labels never change."""
