"""Teacher-free regularisation: a virtual teacher that is always right teaches along with the labels.

Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization" (CVPR 2020), Tf-KD reg.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.methods.base import Method, label_losses
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, kl_divergence
from asc_mrkd.schema import NUMBER, Fraction, Temperature


class TfkdReg(Method):
    """Teacher-free regularisation: a virtual teacher that is always right, with the other classes alike.

    The virtual teacher p_d gives `correct` to the true class and spreads the rest evenly.

    The loss is (1 - alpha) CE + alpha tau^2 KL(softmax(log p_d / tau) || softmax(s / tau)) with the student's logits s.
    Of a mixed batch the target is the mixture of the softened teachers of its two labels.

    The public code (yuanli2333/Teacher-free-Knowledge-Distillation) has another loss: it divides the probabilities p_d,
    not their logarithms, by tau and takes the softmax of that, which at tau = 20 leaves next to nothing of the true
    class (0.0105 for 100 classes); it compares with the student at temperature 1, without tau^2, and averages over
    the classes too, which a multiplier undoes.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: classes.
        alpha: weight of the virtual teacher; default of the public code.
        temperature: tau; default of the public code.
        correct: probability of the true class before it is softened; default of the public code.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        *,
        alpha: Fraction = 0.1,
        temperature: Temperature = 20.0,
        correct: Annotated[float, Field(gt=0.0, lt=1.0), NUMBER] = 0.99,
    ) -> None:
        super().__init__()
        self.model = model
        self.num_classes = num_classes
        self.alpha = alpha
        self.temperature = temperature
        rest = (1 - correct) / (num_classes - 1)
        teacher = torch.tensor([correct, *[rest] * (num_classes - 1)], dtype=torch.float64)
        softened = (teacher.log() / temperature).softmax(0)
        self.true = softened[0].item()
        self.other = softened[-1].item()

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of a batch.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        losses = label_losses(self.model, x, labels)
        target = self.target(labels, losses.total.dtype)
        kd = self.temperature**2 * kl_divergence(target.log(), losses.logits, self.temperature)
        total = (1 - self.alpha) * losses.total + self.alpha * kd
        return Losses(total, losses.logits, losses.parts | {"kd": kd.detach()})

    def target(self, labels: Labels, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the softened teacher's probabilities (batch, class)."""
        if isinstance(labels, MixedLabels):
            weight = labels.weight.to(dtype).unsqueeze(1)
            return weight * self.target(labels.first, dtype) + (1 - weight) * self.target(labels.second, dtype)
        spread = self.other + (self.true - self.other) * F.one_hot(labels, self.num_classes).to(dtype)
        # At temperatures far below 1 the other classes would round to 0, whose logarithm is infinite.
        return spread.clamp(min=torch.finfo(dtype).tiny)
