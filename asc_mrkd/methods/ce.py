"""Cross-entropy on the labels alone: the baseline of every comparison."""

from typing import ClassVar

from torch import Tensor, nn

from asc_mrkd.mrkd.labels import Labels
from asc_mrkd.mrkd.losses import Losses, cross_entropy


class CrossEntropy(nn.Module):
    """The student and Eq. 2."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Labels) -> Losses:
        """Return the cross-entropy of a batch."""
        logits = self.model(x)
        ce = cross_entropy(logits, labels)
        return Losses(ce, logits, {"ce": ce.detach()})

    def step(self) -> None:
        """Do nothing: the labels never change."""
