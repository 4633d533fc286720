"""The running average of the student's weights as its teacher.

Source: Tarvainen and Valpola, "Mean teachers are better role models" (NeurIPS 2017), without its unlabelled data.
"""

import math
from typing import Any, ClassVar

from torch import nn

from asc_mrkd.methods.base import distillation, labels_alone
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import Labels, Losses


class EmaTeacher(nn.Module):
    """The student, and the average of its weights over the steps, which sees another view of the batch.

    The loss is CE + w(t) tau^2 KL(p_teacher || p_student) with w(t) = weight exp(-5 (1 - t / (ramp T))^2) up to step
    ramp T of T, and `weight` from there on. The teacher normalises with the statistics of its batch and gets no
    gradient. The authors also have a squared difference of probabilities in place of the divergence, count the ramp in
    epochs or steps, and have no temperature.

    Args:
        model: the student, from an input batch to logits (batch, class).
        total_steps: T, optimiser steps of the run.
        decay: of the average: min(1 - 1 / (step + 1), decay), as the authors have it.
        weight: of the divergence after its ramp.
        temperature: tau.
        ramp: share of the run in which the weight grows.
    """

    needs: ClassVar[tuple[str, ...]] = ("second_view",)

    def __init__(
        self,
        model: nn.Module,
        total_steps: int,
        decay: float = 0.999,
        weight: float = 1.0,
        temperature: float = 1.0,
        ramp: float = 0.4,
    ) -> None:
        super().__init__()
        self.model, self.teacher = model, Backups(model, 1, batch_statistics=True)
        self.decay, self.weight, self.temperature = decay, weight, temperature
        self.ramp_steps = ramp * total_steps
        self.steps = 0

    def forward(self, x: Any, labels: Labels, second_view: Any) -> Losses:
        """Return the loss of a batch; in evaluation mode the student's cross-entropy alone.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            second_view: the same samples, augmented by other draws and mixed alike, for the teacher.
        """
        losses = labels_alone(self.model, x, labels)
        if not self.training:
            return losses
        (teacher,) = self.teacher(second_view)
        kd = distillation(teacher, losses.logits, self.temperature)
        return Losses(losses.total + self.teacher_weight() * kd, losses.logits, losses.parts | {"kd": kd.detach()})

    def teacher_weight(self) -> float:
        """Return w(t) at this step."""
        left = max(0.0, 1 - self.steps / self.ramp_steps) if self.ramp_steps else 0.0
        return self.weight * math.exp(-5 * left**2)

    def step(self) -> None:
        """Count one optimiser step and take the student into the average."""
        self.steps += 1
        self.teacher.blend(self.model, min(1 - 1 / (self.steps + 1), self.decay))

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]
