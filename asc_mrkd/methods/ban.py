"""Born-again networks: a network is trained anew, taught by the one that was trained before it.

Source: Furlanello et al., "Born Again Neural Networks" (ICML 2018).
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from asc_mrkd.methods.base import distillation, labels_alone
from asc_mrkd.mrkd.backups import Backups, unwrap
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.rng import generator


class Ban(nn.Module):
    """The student of the generation under way and the one of the generation before, its teacher.

    The first generation learns from the labels alone. The loss of the later ones is
    (1 - alpha) CE + alpha tau^2 KL(p_teacher || p_student); the teacher sees the same input, in evaluation mode, and
    gets no gradient. Every generation starts from initial weights of its own, and the last one is kept. It starts with
    its first batch: until then the student is what the generation before has ended with. It is for the engine to start
    the learning rate and the optimiser anew with each.

    The paper gives the teacher's and the labels' terms the same weight, at temperature 1, which are the defaults here.
    The public code nocotan/born_again_neuralnet has a temperature of 20 and divides the divergence by the number of
    classes; it goes on with the weights that were best in validation, this class with the last ones. KD_Lib starts
    every generation from the same initial weights.

    Args:
        model: the student, from an input batch to logits (batch, class).
        new_model: makes another network like it, with initial weights from a seed; called when the method is built.
        total_steps: optimiser steps of all generations together.
        generations: trainings, one after the other, the first one included.
        alpha: weight of the teacher; with 0 every generation is the baseline.
        temperature: tau.
        seed: what the initial weights of the later generations are drawn from.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        new_model: Callable[[int], nn.Module],
        total_steps: int,
        generations: int = 2,
        alpha: float = 0.5,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.teacher = model, Backups(model, 1)
        seeds = [int(generator("generation", seed, number).integers(2**31)) for number in range(1, generations)]
        self.initial = [new_model(one).state_dict() for one in seeds]
        self.generations, self.steps_per_generation = generations, max(1, total_steps // generations)
        self.alpha, self.temperature = alpha, temperature
        self.steps, self.born = 0, 0

    def forward(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of a batch; in evaluation mode the student's cross-entropy alone.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        if self.training and self.born < self.generation():
            self._begin_generation()
        losses = labels_alone(self.model, x, labels)
        if not self.training or self.born == 0:
            return losses
        (teacher,) = self.teacher(x)
        kd = distillation(teacher, losses.logits, self.temperature)
        total = (1 - self.alpha) * losses.total + self.alpha * kd
        return Losses(total, losses.logits, losses.parts | {"kd": kd.detach()})

    def generation(self) -> int:
        """Return the number of the generation under way, from 0; after the last step it is still the last one."""
        return min(self.steps // self.steps_per_generation, self.generations - 1)

    def step(self) -> None:
        """Count one optimiser step."""
        self.steps += 1

    def _begin_generation(self) -> None:
        """Make the student the teacher and give it initial weights, in place."""
        self.teacher.push(self.model)
        unwrap(self.model).load_state_dict(self.initial[self.born])
        self.born += 1

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken and of generations begun after the first, for `state_dict`."""
        return {"steps": self.steps, "born": self.born}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take these numbers from a `state_dict`."""
        self.steps, self.born = state["steps"], state["born"]
