"""Be your own teacher: the last classifier of a network teaches early ones, by its logits and its feature map.

Source: Zhang et al., "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self
Distillation" (ICCV 2019).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ConfigError
from asc_mrkd.methods.base import Method, cross_entropies, distillation
from asc_mrkd.methods.branches import (
    branch_points,
    build_branches,
    feature_maps,
    run_branches,
    size_before_pooling,
    tapped,
)
from asc_mrkd.mrkd.losses import Labels, Losses, at_least_float32
from asc_mrkd.mrkd.networks import unwrap
from asc_mrkd.schema import Fraction, NotNegative, Temperature


class Byot(Method):
    """Be your own teacher: the last classifier teaches early ones.

    The loss is CE of the deepest classifier plus, for every early one k,
    (1 - alpha) CE_k + alpha tau^2 KL(p_deepest || p_k) + feature_weight |F_k - F_deepest|^2, where F is the network's
    last feature map before its last layer, or what an early classifier pools, and neither p_deepest nor F_deepest gets
    a gradient: the student learns from the early classifiers through the layers that they share. The squared
    differences are summed over the map and averaged over the batch, as every other term is, so that the weight means
    the same at every batch size and on any number of processes. Where a network calls its last activation as a function
    (pre-activation ResNets), F_deepest is what goes into that.

    The public code (luanyunteng/pytorch-be-your-own-teacher) sums over the batch too, of 128 with the weight 1e-6:
    hence the default of 128e-6. It compares the pooled maps, leaving out where neither is above 0; it puts the factor
    1 - alpha on the deepest classifier too, where the paper and this class have 1; and its early classifiers are
    bottlenecks, see `branches.early_classifier`.

    Args:
        model: the student, from (batch, channel, height, width) to logits (batch, class).
        num_classes: classes.
        input_shape: (channel, height, width) of one input.
        seed: seed of the initial weights of the early classifiers.
        alpha: weight of the teaching by logits; default of the public code.
        temperature: tau; default of the public code.
        feature_weight: weight of the squared difference between the feature maps.
        branches: layers with an early classifier; None takes the attribute `branch_points` of the network.

    Raises:
        ConfigError: the network has no such layers, they put out no feature map, or stages of stride 2 do not bring
            their size to that of the last one.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        input_shape: tuple[int, ...],
        seed: int,
        *,
        alpha: Fraction = 0.1,
        temperature: Temperature = 3.0,
        feature_weight: NotNegative = 128e-6,
        branches: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        network = unwrap(model)
        self.points = branch_points(network, branches)
        self.branches = build_branches(network, self.points, input_shape, num_classes, seed)
        maps = feature_maps(network, input_shape)
        self.last = list(maps)[-1]
        for name, branch in zip(self.points, self.branches, strict=True):
            size = size_before_pooling(branch, maps[name])
            if size != maps[self.last]:
                raise ConfigError(
                    f"method.branches: the early classifier on '{name}' {maps[name]} ends at {size}, "
                    f"which byot cannot compare with the last feature map {maps[self.last]}",
                    "name layers whose height and width are those of the last map times a power of two",
                )
        self.alpha = alpha
        self.temperature = temperature
        self.feature_weight = feature_weight

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
        with tapped(unwrap(self.model), [self.last]) as maps:
            deepest, early, features = run_branches(self.model, self.points, self.branches, x)
        ce, parts = cross_entropies([deepest, *early], labels, self.points)
        kd = torch.stack([distillation(deepest, logits, self.temperature) for logits in early]).sum()
        feature = torch.stack([squared_difference(mine, maps[self.last].detach()) for mine in features]).sum()
        taught = (1 - self.alpha) * ce[1:].sum() + self.alpha * kd + self.feature_weight * feature
        return Losses(ce[0] + taught, deepest, parts | {"kd": kd.detach(), "feature": feature.detach()})


def squared_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 of maps (batch, channel, height, width), averaged over the batch.

    >>> float(squared_difference(torch.zeros(5, 2, 3, 3), torch.ones(5, 2, 3, 3)))
    18.0
    """
    return (at_least_float32(a) - at_least_float32(b)).square().flatten(1).sum(1).mean()
