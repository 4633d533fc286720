"""Distillation from the last mini-batch: what was said a step ago is to hold for another view of the same samples.

Source: Shen et al., "Self-Distillation from the Last Mini-Batch for Consistency Regularization" (CVPR 2022).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asc_mrkd.dist import all_gather_rows, local_rows
from asc_mrkd.methods.base import distillation, labels_alone
from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy


class Dlb(nn.Module):
    """The student, and what it said of the batch before.

    Each step takes the present batch and, in another view, the one before, in one pass. The loss is the mean
    cross-entropy over the samples of both, plus weight tau^2 KL(p_then || p_now) over those of the batch before, where
    p_then is what the student said of them in the step before and gets no gradient.

    The authors' code (Meta-knowledge-Lab/DLB) passes the two batches one after the other, so batch normalisation there
    sees each alone; here it sees both together. Neither the weight nor the temperature has a default there; those here
    weigh both terms alike.

    Args:
        model: the student, from an input batch to logits (batch, class).
        weight: of the divergence.
        temperature: tau.
    """

    needs: ClassVar[tuple[str, ...]] = ("previous",)

    def __init__(self, model: nn.Module, weight: float = 1.0, temperature: float = 3.0) -> None:
        super().__init__()
        self.model, self.weight, self.temperature = model, weight, temperature
        self.said: Tensor | None = None
        """Logits of the whole batch of the last step (batch, class), of all processes; None before the first step."""

    def forward(self, x: Tensor, labels: Labels, previous: tuple[Tensor, Labels] | None) -> Losses:
        """Return the loss of a batch and of the one before; in evaluation mode the cross-entropy of the batch alone.

        Args:
            x: inputs (batch, ...).
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            previous: inputs and labels of the batch before, in another view; None in the first step.
        """
        if not self.training:
            return labels_alone(self.model, x, labels)
        if previous is None or self.said is None:
            losses = labels_alone(self.model, x, labels)
            self.said = all_gather_rows(losses.logits.detach())
            return losses
        x_before, labels_before = previous
        before, now = logits_of(self.model(torch.cat([x_before, x]))).split([len(x_before), len(x)])
        # A copy, or a checkpoint would hold the logits of both batches, whose storage it is a part of.
        then, self.said = self.said.to(x.device), all_gather_rows(now.detach().clone())
        # A process of several is weighted by its rows of this batch; of the batch before it may have another share.
        share = len(x_before) / len(then) * len(self.said) / len(x)
        of_now, of_before = cross_entropy(now, labels), share * cross_entropy(before, labels_before)
        ce = (len(self.said) * of_now + len(then) * of_before) / (len(self.said) + len(then))
        kd = share * distillation(then[local_rows()], before, self.temperature)
        return Losses(ce + self.weight * kd, now, {"ce": of_now.detach(), "kd": kd.detach()})

    def step(self) -> None:
        """Do nothing: the logits are kept when they are made."""

    def get_extra_state(self) -> dict[str, Tensor | None]:
        """Return what was said of the last batch, for `state_dict`."""
        return {"said": self.said}

    def set_extra_state(self, state: dict[str, Tensor | None]) -> None:
        """Take what was said of the last batch from a `state_dict`."""
        self.said = state["said"]
