"""Multi-branch self-distillation: early classifiers and the last one of a network teach each other.

Source: Luan et al., "MSD: Multi-Self-Distillation Learning via Multi-Classifiers within Deep Neural Networks" (2019).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from asc_mrkd.methods.base import Method, cross_entropies, mutual_divergence
from asc_mrkd.methods.branches import branch_points, build_branches, run_branches
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.mrkd.networks import unwrap
from asc_mrkd.schema import Fraction, Temperature


class Msd(Method):
    """Multi-branch self-distillation: early classifiers and the last one teach each other.

    The classifier of the student is the deepest of K; K - 1 early classifiers branch off its layers.

    The loss is the sum over the classifiers k of (1 - alpha) CE_k + alpha tau^2 mean_{j != k} KL(p_j || p_k), where
    the teaching p_j gets no gradient. The early classifiers are there only in training: the student alone is exported.

    Args:
        model: the student, from (batch, channel, height, width) to logits (batch, class).
        num_classes: classes.
        input_shape: (channel, height, width) of one input.
        seed: seed of the initial weights of the early classifiers.
        alpha: weight of the mutual teaching. With 0 every classifier learns from the labels alone; this differs from
            the baseline, because the shared layers get the gradients of all K.
        temperature: tau.
        branches: layers with an early classifier; None takes the attribute `branch_points` of the network.

    Raises:
        ConfigError: the network has no such layers, or they put out no feature map.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        input_shape: tuple[int, ...],
        seed: int,
        *,
        alpha: Fraction = 0.5,
        temperature: Temperature = 3.0,
        branches: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        network = unwrap(model)
        self.points = branch_points(network, branches)
        self.branches = build_branches(network, self.points, input_shape, num_classes, seed)
        self.alpha = alpha
        self.temperature = temperature

    @classmethod
    def check_network(cls, options: Mapping[str, Any], network: nn.Module, input_shape: tuple[int, ...]) -> None:
        """Refuse a network without such layers.

        Raises:
            ConfigError: as from the constructor.
        """
        cls(network, 2, input_shape, 0, **options)

    def training_losses(self, x: Tensor, labels: Labels) -> Losses:
        """Return the loss of all classifiers, and the student's logits.

        Args:
            x: inputs (batch, channel, height, width).
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        deepest, early, _ = run_branches(self.model, self.points, self.branches, x)
        ce, parts = cross_entropies([deepest, *early], labels, self.points)
        kd = self.temperature**2 * mutual_divergence([deepest, *early], self.temperature)
        return Losses((1 - self.alpha) * ce.sum() + self.alpha * kd, deepest, parts | {"kd": kd.detach()})
