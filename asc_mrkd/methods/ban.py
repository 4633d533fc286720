"""Born-again networks: a network is trained again, taught by the one trained before it.

Source: Furlanello et al., "Born Again Neural Networks" (ICML 2018).
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from asc_mrkd.methods.base import Method, distillation, label_losses
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.mrkd.networks import state_of, unwrap, write_state
from asc_mrkd.rng import generator
from asc_mrkd.schema import Few, Fraction, Temperature


class Ban(Method):
    """Born-again networks: each generation, a fresh network, is taught by the previous one; the last one is kept.

    The first generation learns from the labels alone. The loss of the later ones is
    (1 - alpha) CE + alpha tau^2 KL(p_teacher || p_student); the teacher sees the same input, in evaluation mode, and
    gets no gradient. Every generation starts from separate initial weights. It starts at its first batch; until then
    the student keeps the last weights of the previous generation. The engine resets the optimiser and the schedule.

    The paper gives the teacher's and the labels' terms the same weight, at temperature 1, which are the defaults here.
    The public code nocotan/born_again_neuralnet has a temperature of 20 and divides the divergence by the number of
    classes; its teacher has the weights that were best in validation, here the last ones. KD_Lib starts every
    generation from the same initial weights.

    Args:
        model: the student, from an input batch to logits (batch, class).
        new_model: function that builds another network like the student from a seed.
        total_steps: optimiser steps of one generation.
        seed: seed of the run; the initial weights of the later generations are drawn from it.
        generations: trainings, one after the other, the first one included.
        alpha: weight of the teacher; with 0 every generation is the baseline.
        temperature: tau.
    """

    def __init__(
        self,
        model: nn.Module,
        new_model: Callable[[int], nn.Module],
        total_steps: int,
        seed: int,
        *,
        generations: Few = 2,
        alpha: Fraction = 0.5,
        temperature: Temperature = 1.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.teacher = Backups(model, 1)
        self.new_model = new_model
        self.seed = seed
        self.generations = generations
        self.steps_per_generation = total_steps
        self.alpha = alpha
        self.temperature = temperature
        self.generation_started = 0
        """Number of the generation that has started, from 0."""

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of a batch.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        if self.generation_started == 0:
            return label_losses(self.model, x, labels)
        (teacher,) = self.teacher(x)  # before the student, whose activations stay until the backward pass
        losses = label_losses(self.model, x, labels)
        kd = distillation(teacher, losses.logits, self.temperature)
        total = (1 - self.alpha) * losses.total + self.alpha * kd
        return Losses(total, losses.logits, losses.parts | {"kd": kd.detach()})

    def current_generation(self) -> int:
        """Return the number of the generation in progress, from 0; after the last step it is still the last one."""
        return min(self.steps // self.steps_per_generation, self.generations - 1)

    def step(self) -> None:
        """Count one optimiser step; at the end of a generation keep the network as the teacher of the next one."""
        super().step()
        if self.steps % self.steps_per_generation == 0 and self.steps < self.generations * self.steps_per_generation:
            self.teacher.push(self.model)

    def start_due_generation(self) -> None:
        """Give the student the initial weights of its next generation, in place, if that has not started yet."""
        if self.generation_started == self.current_generation():
            return
        self.generation_started += 1
        seed = int(generator("generation", self.seed, self.generation_started).integers(2**31))
        write_state(unwrap(self.model), state_of(unwrap(self.new_model(seed))))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the number of steps taken and of the generation, for `state_dict`."""
        return super().get_extra_state() | {"generation_started": self.generation_started}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take these numbers from a `state_dict`."""
        super().set_extra_state(state)
        self.generation_started = state["generation_started"]
