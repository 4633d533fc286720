"""Distillation from the last mini-batch: the prediction of the last step teaches another view of the same samples.

Source: Shen et al., "Self-Distillation from the Last Mini-Batch for Consistency Regularization" (CVPR 2022).
"""

from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.dist import all_gather_rows, local_rows
from asc_mrkd.methods.base import Method, distillation, label_losses
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy
from asc_mrkd.schema import NotNegative, Temperature


class Dlb(Method):
    """Distillation from the last mini-batch: its predictions a step ago teach another view of the same samples.

    Each step takes the current batch and, in another view, the previous one, in one pass. The loss is the mean
    cross-entropy over the samples of both, plus weight tau^2 KL(p_then || p_now) over those of the previous batch,
    where p_then is the student's prediction for them in the previous step and gets no gradient.

    The authors' code (Meta-knowledge-Lab/DLB) passes the two batches one after the other, so its batch normalisation
    sees each alone; here it sees both together. The authors' code has no default for the weight and the temperature;
    those here weigh both terms alike.

    Args:
        model: the student, from an input batch to logits (batch, class).
        weight: weight of the divergence.
        temperature: tau.
    """

    needs = ("previous",)

    def __init__(self, model: nn.Module, *, weight: NotNegative = 1.0, temperature: Temperature = 3.0) -> None:
        super().__init__()
        self.model = model
        self.weight = weight
        self.temperature = temperature
        self.previous_logits: Tensor | None = None
        """Logits of the whole batch of the last step (batch, class), of all processes; None before the first step."""
        self.has_new_logits = False
        """Whether they are those of the step in progress."""

    def training_losses(self, x: Tensor, labels: Labels, previous: tuple[Tensor, Labels] | None) -> Losses:
        """Return the loss of a batch and the previous one.

        Args:
            x: inputs (batch, ...).
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            previous: inputs and labels of the previous batch in another view; None in the first step.
        """
        self.has_new_logits = True
        if previous is None or self.previous_logits is None:
            losses = label_losses(self.model, x, labels)
            self.previous_logits = all_gather_rows(losses.logits.detach())
            return losses
        x_before, labels_before = previous
        before, now = logits_of(self.model(torch.cat([x_before, x]))).split([len(x_before), len(x)])
        teacher = self.previous_logits.to(x.device)
        # A copy: `now` is a part of the storage of both batches, which a checkpoint would hold.
        self.previous_logits = all_gather_rows(now.detach().clone())
        rows_now = len(self.previous_logits)
        rows_before = len(teacher)
        # The loss of a process is weighted by its rows of this batch; its share of the previous one may differ.
        share = len(x_before) / rows_before * rows_now / len(x)
        ce_now = cross_entropy(now, labels)
        ce_before = share * cross_entropy(before, labels_before)
        ce = (rows_now * ce_now + rows_before * ce_before) / (rows_now + rows_before)
        kd = share * distillation(teacher[local_rows()], before, self.temperature)
        return Losses(ce + self.weight * kd, now, {"ce": ce_now.detach(), "kd": kd.detach()})

    def step(self) -> None:
        """Count one optimiser step; after one that was undone, nothing teaches the next batch."""
        super().step()
        if not self.has_new_logits:
            self.previous_logits = None
        self.has_new_logits = False

    def get_extra_state(self) -> dict[str, Any]:
        """Return the number of steps taken and the logits of the last batch, for `state_dict`."""
        return super().get_extra_state() | {"previous_logits": self.previous_logits}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take these from a `state_dict`."""
        super().set_extra_state(state)
        self.previous_logits = state["previous_logits"]
        self.has_new_logits = False
