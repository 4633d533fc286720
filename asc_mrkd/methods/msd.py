"""Multi-branch self-distillation: early classifiers and the last one of a network teach each other.

Source: Luan et al., "MSD: Multi-Self-Distillation Learning via Multi-Classifiers within Deep Neural Networks" (2019).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.methods.base import labels_alone
from asc_mrkd.methods.branches import branch_points, build_branches, run_branches
from asc_mrkd.mrkd.backups import unwrap
from asc_mrkd.mrkd.losses import Labels, Losses, at_least_float32, cross_entropy, kl_divergence


class Msd(nn.Module):
    """The student, whose own classifier is the deepest of K, and K - 1 early classifiers on its layers.

    The loss is the sum over the classifiers k of (1 - alpha) CE_k + alpha tau^2 mean_{j != k} KL(p_j || p_k), where
    the teaching p_j gets no gradient. The early classifiers hang on the student only while it is trained, and only the
    student is exported.

    Args:
        model: the student, from (batch, channel, height, width) to logits (batch, class).
        num_classes: classes.
        input_shape: (channel, height, width) of one input.
        alpha: weight of the mutual teaching. With 0 every classifier learns from the labels alone; that is not the
            baseline, because the layers that they share get the gradients of all K.
        temperature: tau.
        branches: layers with an early classifier; None takes the attribute `branch_points` of the network.
        seed: initialisation of the early classifiers.

    Raises:
        ConfigError: layers that are not there or put out no feature map.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        input_shape: tuple[int, ...],
        alpha: float = 0.5,
        temperature: float = 3.0,
        branches: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        network = unwrap(model)
        self.points = branch_points(network, branches)
        self.branches = build_branches(network, self.points, input_shape, num_classes, seed)
        self.alpha, self.temperature = alpha, temperature

    def forward(self, x: Tensor, labels: Labels) -> Losses:
        """Return the loss of a batch, and the student's logits; in evaluation mode the student's cross-entropy alone.

        Args:
            x: inputs (batch, channel, height, width).
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        if not self.training:
            return labels_alone(self.model, x, labels)
        deepest, early, _ = run_branches(self.model, self.points, self.branches, x)
        ce = torch.stack([cross_entropy(logits, labels) for logits in (deepest, *early)])
        kd = self.temperature**2 * mutual_divergence([deepest, *early], self.temperature)
        names = ("ce", *(f"ce_{name}" for name in self.points))
        parts = dict(zip(names, ce.detach(), strict=True)) | {"kd": kd.detach()}
        return Losses((1 - self.alpha) * ce.sum() + self.alpha * kd, deepest, parts)

    def step(self) -> None:
        """Do nothing: nothing depends on the step."""


def mutual_divergence(
    logits: Sequence[Tensor], temperature: float, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """Return the sum over k of the mean, or sum, over j != k of KL(p_j || p_k); the gradient reaches p_k only.

    Args:
        logits: of two or more classifiers, (batch, class) each.
        temperature: tau; the factor tau^2 is not included.
        reduction: over j.

    >>> float(mutual_divergence([torch.eye(3), torch.eye(3)], 3.0))
    0.0
    """
    targets = [F.log_softmax(at_least_float32(z.detach()) / temperature, dim=1) for z in logits]
    pairs = [
        kl_divergence(target, z, temperature)
        for k, z in enumerate(logits)
        for j, target in enumerate(targets)
        if j != k
    ]
    return torch.stack(pairs).sum() / (len(logits) - 1 if reduction == "mean" else 1)
