"""Teacher-free regularisation: a made-up teacher that is always right teaches beside the labels.

Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization" (CVPR 2020), Tf-KD reg.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.methods.base import labels_alone
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, kl_divergence


class TfkdReg(nn.Module):
    """The student and the virtual teacher p_d, which has `correct` for the true class and the rest spread evenly.

    The loss is (1 - alpha) CE + alpha tau^2 KL(softmax(log p_d / tau) || softmax(s / tau)) with the student's logits s.
    Of a mixed batch the target is the mixture of the softened teachers of its two labels.

    The public code (yuanli2333/Teacher-free-Knowledge-Distillation) has another loss: it divides the probabilities p_d,
    not their logarithms, by tau and takes the softmax of that, which at tau = 20 leaves next to nothing of the true
    class (0.0105 of 100 classes); it compares with the student at temperature 1, without tau^2, and averages over
    the classes too, which a multiplier undoes.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: classes.
        alpha: weight of the virtual teacher; the default is the public code's.
        temperature: tau; the default is the public code's.
        correct: probability of the true class before it is softened; the default is the public code's.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        alpha: float = 0.1,
        temperature: float = 20.0,
        correct: float = 0.99,
    ) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes
        self.alpha, self.temperature = alpha, temperature
        rest = (1 - correct) / (num_classes - 1)
        teacher = torch.tensor([correct, *[rest] * (num_classes - 1)], dtype=torch.float64)
        softened = (teacher.log() / temperature).softmax(0)
        self.true, self.other = softened[0].item(), softened[-1].item()

    def forward(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of a batch; in evaluation mode the student's cross-entropy alone.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        losses = labels_alone(self.model, x, labels)
        if not self.training:
            return losses
        target = self.target(labels, losses.total.dtype)
        kd = self.temperature**2 * kl_divergence(target.log(), losses.logits, self.temperature)
        total = (1 - self.alpha) * losses.total + self.alpha * kd
        return Losses(total, losses.logits, losses.parts | {"kd": kd.detach()})

    def target(self, labels: Labels, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the softened teacher's probabilities (batch, class)."""
        if isinstance(labels, MixedLabels):
            weight = labels.weight.to(dtype).unsqueeze(1)
            first, second = (self.target(one, dtype) for one in (labels.first, labels.second))
            return weight * first + (1 - weight) * second
        spread = self.other + (self.true - self.other) * F.one_hot(labels, self.num_classes).to(dtype)
        # At temperatures far below 1 the other classes would round to 0, whose logarithm is no number.
        return spread.clamp(min=torch.finfo(dtype).tiny)

    def step(self) -> None:
        """Do nothing: the teacher never changes."""
