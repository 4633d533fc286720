"""Class-wise self-knowledge distillation: two samples of a class are to be seen alike.

Source: Yun et al., "Regularizing Class-wise Predictions via Self-knowledge Distillation" (CVPR 2020).
"""

from typing import Any, ClassVar

import torch
from torch import nn

from asc_mrkd.methods.base import distillation, labels_alone
from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses


class Cskd(nn.Module):
    """The student, which for every sample is taught by what it says of another sample x' of the same class.

    The loss is CE(x) + weight tau^2 KL(p(x') || p(x)), where p(x') gets no gradient. As in the authors' code
    (alinlab/cs-kd) the pass over x' is one in training mode, so it counts in the statistics of batch normalisation;
    there x' may be x itself, here it is another sample if the class has one.

    Args:
        model: the student, from an input batch to logits (batch, class).
        weight: of the divergence; 1 in the paper, 3 for its fine-grained sets.
        temperature: tau; the default is the paper's.
    """

    needs: ClassVar[tuple[str, ...]] = ("pair",)

    def __init__(self, model: nn.Module, weight: float = 1.0, temperature: float = 4.0) -> None:
        super().__init__()
        self.model, self.weight, self.temperature = model, weight, temperature

    def forward(self, x: Any, labels: Labels, pair: Any) -> Losses:
        """Return the loss of a batch; in evaluation mode the student's cross-entropy alone.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            pair: for every sample of x another one of its class, mixed alike.
        """
        losses = labels_alone(self.model, x, labels)
        if not self.training:
            return losses
        with torch.no_grad():
            teacher = logits_of(self.model(pair))
        kd = distillation(teacher, losses.logits, self.temperature)
        return Losses(losses.total + self.weight * kd, losses.logits, losses.parts | {"kd": kd.detach()})

    def step(self) -> None:
        """Do nothing: nothing depends on the step."""
