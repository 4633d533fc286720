"""Progressive self-knowledge distillation, the Self-KD of the paper's tables: past predictions soften the labels.

Source: Kim et al., "Self-Knowledge Distillation with Progressive Refinement of Targets" (ICCV 2021).
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.config import Experiment
from asc_mrkd.dist import all_gather_rows
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods.base import Method, label_losses
from asc_mrkd.methods.schedules import linear_ramp
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, at_least_float32
from asc_mrkd.mrkd.networks import device_of
from asc_mrkd.schema import Fraction


class Pskd(Method):
    """Progressive self-knowledge distillation, the paper's Self-KD; with Mixup it needs source=model.

    The predictions of the student one epoch ago, p_past, soften the labels.

    The loss is the cross-entropy with the target (1 - alpha_t) onehot + alpha_t p_past at temperature 1, where
    alpha_t = alpha (epoch + 1) / epochs. The first epoch has no past: it is trained on the labels alone.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: classes.
        train_samples: samples of the training set.
        steps_per_epoch: optimiser steps of an epoch.
        epochs: epochs of the run.
        alpha: weight of the past in the last epoch; 0 trains the student exactly on the labels.
        source: origin of p_past. `predictions`: those made during the last epoch, in training mode and of the sample
            as it was augmented then (the authors' code). `model`: those of the network at the end of the last epoch,
            in evaluation mode and of this very input (the paper's text), for one more forward pass.
    """

    needs = ("index",)

    past: Tensor
    """Last predicted probabilities (sample, class), float32; zeros for a sample that was not predicted yet, for which
    only the label's share of the loss counts."""

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        train_samples: int,
        steps_per_epoch: int,
        epochs: int,
        *,
        alpha: Fraction = 0.8,
        source: Literal["predictions", "model"] = "predictions",
    ) -> None:
        super().__init__()
        self.model = model
        self.backups = Backups(model, 1) if source == "model" else None
        device = device_of(model)
        rows = train_samples if source == "predictions" else 0
        self.register_buffer("past", torch.zeros(rows, num_classes, device=device))
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.alpha = alpha

    @classmethod
    def check_experiment(cls, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Refuse Mixup with the source `predictions`.

        Raises:
            ConfigError: the kept predictions would be of other mixtures.
        """
        if options["source"] == "predictions" and experiment.augment.mixup:
            raise ConfigError(
                "pskd keeps the predictions of the last epoch's inputs, which augment.mixup mixes again",
                "write method.source=model, or augment.mixup=0",
            )

    def training_losses(self, x: Any, labels: Labels, index: Tensor) -> Losses:
        """Return the loss of a batch and keep its predictions for the next epoch.

        In a data-parallel run every process keeps the predictions of all.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            index: numbers of the samples in the training set (batch,).

        Raises:
            ConfigError: the batch is mixed and the source is `predictions`, which are of other mixtures.
        """
        if self.backups is None and isinstance(labels, MixedLabels):
            raise ConfigError("pskd has predictions of other mixtures than this batch", "set method.source=model")
        weight = self.past_weight()
        past = self.past_probabilities(x, index) if weight else None  # before the student has its activations
        losses = label_losses(self.model, x, labels)
        logits = losses.logits
        ce = losses.total
        if past is not None:
            kd = F.cross_entropy(at_least_float32(logits), past.to(ce.dtype))
            losses = Losses((1 - weight) * ce + weight * kd, logits, losses.parts | {"kd": kd.detach()})
        if self.backups is None:
            # One matrix serves both epochs: an epoch has each sample once, and its row was read just above.
            self.past[all_gather_rows(index)] = all_gather_rows(_probabilities(logits).to(self.past.dtype))
        return losses

    def past_weight(self) -> float:
        """Return alpha_t of the current epoch, or 0 in the first one."""
        epoch = self.steps // self.steps_per_epoch
        if epoch == 0:
            return 0.0
        return linear_ramp(self.alpha, epoch + 1, self.epochs)

    def step(self) -> None:
        """Count one optimiser step; at the end of an epoch keep the network, if it is the source."""
        super().step()
        if self.backups is not None and self.steps % self.steps_per_epoch == 0:
            self.backups.push(self.model)

    def past_probabilities(self, x: Any, index: Tensor) -> Tensor:
        """Return p_past (batch, class), without gradients."""
        if self.backups is None:
            return self.past[index]
        return _probabilities(self.backups(x)[0])


def _probabilities(logits: Tensor) -> Tensor:
    return at_least_float32(logits.detach()).softmax(1)
