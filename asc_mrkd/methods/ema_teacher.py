"""The running average of the student's weights as its teacher.

Source: Tarvainen and Valpola, "Mean teachers are better role models" (NeurIPS 2017), without its unlabelled data.
"""

from typing import Any

from torch import nn

from asc_mrkd.methods.base import Method, distillation, label_losses
from asc_mrkd.methods.schedules import gaussian_ramp
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.schema import Fraction, NotNegative, Temperature


class EmaTeacher(Method):
    """Mean teacher without unlabelled data: the running average of the weights teaches, on another view.

    The loss is CE + w(t) tau^2 KL(p_teacher || p_student) with w(t) = weight exp(-5 (1 - t / (ramp T))^2) up to step
    ramp T of T, and `weight` from there on. The teacher normalises with the statistics of its batch and gets no
    gradient. The authors also offer a squared difference of probabilities in place of the divergence, count the ramp
    in epochs or steps, and have no temperature.

    Args:
        model: the student, from an input batch to logits (batch, class).
        total_steps: T, optimiser steps of the run.
        decay: decay of the average, min(1 - 1 / (step + 1), decay), as in the authors' code.
        weight: weight of the divergence after its ramp.
        temperature: tau.
        ramp: share of the run in which the weight grows.
    """

    needs = ("second_view",)

    def __init__(
        self,
        model: nn.Module,
        total_steps: int,
        *,
        decay: Fraction = 0.999,
        weight: NotNegative = 1.0,
        temperature: Temperature = 1.0,
        ramp: Fraction = 0.4,
    ) -> None:
        super().__init__()
        self.model = model
        self.teacher = Backups(model, 1, batch_statistics=True)
        self.decay = decay
        self.weight = weight
        self.temperature = temperature
        self.ramp_steps = ramp * total_steps

    def training_losses(self, x: Any, labels: Labels, second_view: Any) -> Losses:
        """Return the loss of a batch.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            second_view: the same samples, augmented by other draws and mixed alike, for the teacher.
        """
        losses = label_losses(self.model, x, labels)
        (teacher,) = self.teacher(second_view)
        kd = distillation(teacher, losses.logits, self.temperature)
        return Losses(losses.total + self.teacher_weight() * kd, losses.logits, losses.parts | {"kd": kd.detach()})

    def teacher_weight(self) -> float:
        """Return w(t) at this step."""
        return gaussian_ramp(self.weight, self.steps, self.ramp_steps)

    def step(self) -> None:
        """Count one optimiser step and add the student to the average."""
        super().step()
        self.teacher.blend(self.model, min(1 - 1 / (self.steps + 1), self.decay))
