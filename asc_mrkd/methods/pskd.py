"""Progressive self-knowledge distillation, the Self-KD of the paper's tables: the past softens the labels.

Source: Kim et al., "Self-Knowledge Distillation with Progressive Refinement of Targets" (ICCV 2021).
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.dist import all_gather_rows
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods.base import labels_alone
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, at_least_float32


class Pskd(nn.Module):
    """The student and its own predictions of one epoch ago, p_past.

    The loss is the cross-entropy with the target (1 - alpha_t) onehot + alpha_t p_past at temperature 1, where
    alpha_t = alpha (epoch + 1) / epochs. The first epoch has no past: it is trained on the labels alone.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: classes.
        train_samples: samples of the training set.
        steps_per_epoch: optimiser steps of an epoch.
        epochs: epochs of the run.
        alpha: weight of the past in the last epoch; 0 trains the student exactly on the labels.
        source: `predictions` are those made on the way through the last epoch, in training mode and of the sample as
            it was augmented then (the authors' code); `model` is the network at the end of the last epoch, in
            evaluation mode and of this very input (the paper's text), for one more forward pass.
    """

    needs: ClassVar[tuple[str, ...]] = ("index",)

    past: Tensor
    """Probabilities (sample, class) as last predicted, float32; zeros of a sample that was not predicted yet, for
    which only the label's share of the loss then counts."""

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        train_samples: int,
        steps_per_epoch: int,
        epochs: int,
        alpha: float = 0.8,
        source: Literal["predictions", "model"] = "predictions",
    ) -> None:
        super().__init__()
        self.model = model
        self.backups = Backups(model, 1) if source == "model" else None
        device = next(model.parameters()).device
        rows = train_samples if source == "predictions" else 0
        self.register_buffer("past", torch.zeros(rows, num_classes, device=device))
        self.steps_per_epoch, self.epochs, self.alpha = steps_per_epoch, epochs, alpha
        self.steps = 0

    def forward(self, x: Any, labels: Labels, index: Tensor) -> Losses:
        """Return the loss of a batch; in training mode its predictions are kept for the next epoch.

        In a data-parallel run every process keeps the predictions of all.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            index: the numbers of the samples in the training set (batch,).

        Raises:
            ConfigError: a mixed batch with the source `predictions`, which are of other mixtures.
        """
        if self.backups is None and isinstance(labels, MixedLabels):
            raise ConfigError("pskd has predictions of other mixtures than this batch", "set method.source=model")
        losses, weight = labels_alone(self.model, x, labels), self.past_weight()
        logits, ce = losses.logits, losses.total
        if weight:
            kd = F.cross_entropy(at_least_float32(logits), self._past_of(x, index).to(ce.dtype))
            losses = Losses((1 - weight) * ce + weight * kd, logits, losses.parts | {"kd": kd.detach()})
        if self.backups is None and self.training:
            # One matrix serves both epochs: an epoch has each sample once, and its row was read just above.
            self.past[all_gather_rows(index)] = all_gather_rows(_probabilities(logits).to(self.past.dtype))
        return losses

    def past_weight(self) -> float:
        """Return alpha_t of the epoch under way, or 0 in the first one."""
        epoch = self.steps // self.steps_per_epoch
        return self.alpha * (epoch + 1) / self.epochs if epoch else 0.0

    def step(self) -> None:
        """Count one optimiser step; at the end of an epoch keep the network, if it is the source."""
        self.steps += 1
        if self.backups is not None and self.steps % self.steps_per_epoch == 0:
            self.backups.push(self.model)

    def _past_of(self, x: Any, index: Tensor) -> Tensor:
        """Return p_past (batch, class), without gradients."""
        return self.past[index] if self.backups is None else _probabilities(self.backups(x)[0])

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]


def _probabilities(logits: Tensor) -> Tensor:
    return at_least_float32(logits.detach()).softmax(1)
