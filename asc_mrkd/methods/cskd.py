"""Class-wise self-knowledge distillation: two samples of a class should get the same prediction.

Source: Yun et al., "Regularizing Class-wise Predictions via Self-knowledge Distillation" (CVPR 2020).
"""

from typing import Any

import torch
from torch import nn

from asc_mrkd.methods.base import Method, distillation, label_losses
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.schema import NotNegative, Temperature


class Cskd(Method):
    """Class-wise self-knowledge distillation: two samples of a class should get the same prediction.

    For every sample x the student is taught by its own prediction for another sample x' of the same class.

    The loss is CE(x) + weight tau^2 KL(p(x') || p(x)), where p(x') gets no gradient. As in the authors' code
    (alinlab/cs-kd) the pass over x' is in training mode, so it counts in the statistics of batch normalisation;
    there x' may be x itself, here it is another sample if the class has one.

    Args:
        model: the student, from an input batch to logits (batch, class).
        weight: weight of the divergence; 1 in the paper, 3 for its fine-grained sets.
        temperature: tau; default of the paper.
    """

    needs = ("pair",)

    def __init__(self, model: nn.Module, *, weight: NotNegative = 1.0, temperature: Temperature = 4.0) -> None:
        super().__init__()
        self.model = model
        self.weight = weight
        self.temperature = temperature

    def training_losses(self, x: Any, labels: Labels, pair: Any) -> Losses:
        """Return the loss of a batch.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            pair: for every sample of x another one of its class, mixed alike.
        """
        losses = label_losses(self.model, x, labels)
        with torch.no_grad():
            teacher = logits_of(self.model(pair))
        kd = distillation(teacher, losses.logits, self.temperature)
        return Losses(losses.total + self.weight * kd, losses.logits, losses.parts | {"kd": kd.detach()})
