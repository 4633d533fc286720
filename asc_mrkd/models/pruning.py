"""Magnitude pruning: masks on the weights of a network, which can be set again at any time.

Source: Koutini et al., "Low-Complexity Models for Acoustic Scene Classification Based on Receptive Field Regularization
and Frequency Damping" (DCASE 2020). A masked value keeps what it holds and can come back, unlike in
torch.nn.utils.prune, where a mask only ever grows.
"""

import copy
import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asc_mrkd.errors import ModelError

Scope = Literal["global", "layer"]
Kernels = Literal["all", "1x1"]
Ramp = Literal["linear", "exp"]


class Mask(nn.Module):
    """Parametrisation of a weight: the weight times a mask of zeros and ones."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the masked weight, shaped as it is."""
        return weight * self.mask


def is_masked(layer: nn.Module) -> bool:
    """Return whether `attach_masks` has put a mask on the weight of a layer."""
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    parametrizations = cast(nn.ModuleDict, layer.parametrizations)
    return isinstance(cast(nn.ModuleList, parametrizations["weight"])[0], Mask)


def prunable_layers(model: nn.Module, kernels: Kernels = "all") -> dict[str, nn.Module]:
    """Map names to the layers whose weight has more than one dimension; `1x1` leaves out the larger kernels.

    A weight that is computed from others, as under `weight_norm`, is not pruned.

    Raises:
        ModelError: no layer is left.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if (is_masked(layer) or "weight" in layer._parameters)
        and isinstance(layer.weight, Tensor)
        and layer.weight.dim() > 1
    }
    if kernels == "1x1":
        layers = {name: layer for name, layer in layers.items() if cast(Tensor, layer.weight)[0, 0].numel() == 1}
    if not layers:
        raise ModelError(f"the network has no weight to prune among {kernels} kernels", "kernels=all")
    return layers


def magnitude_masks(weights: Mapping[str, Tensor], amount: float, scope: Scope = "global") -> dict[str, Tensor]:
    """Return one mask per weight that sets the fraction `amount` of smallest magnitude to zero.

    The threshold is the k-th smallest magnitude of N, k = 1 + round(amount (N - 1)); a value equal to it stays.

    Args:
        weights: tensors by name.
        amount: fraction, 0..1, of all values together (`global`) or of each tensor (`layer`).
        scope: set of values whose magnitudes are compared: all layers together, or each layer.

    >>> magnitude_masks({"a": torch.tensor([[3.0, -1.0]]), "b": torch.tensor([[2.0, 0.5]])}, 0.5)
    {'a': tensor([[1., 0.]]), 'b': tensor([[1., 0.]])}
    """
    groups = [list(weights)] if scope == "global" else [[name] for name in weights]
    masks: dict[str, Tensor] = {}
    for group in groups:
        magnitudes = torch.cat([weights[name].detach().abs().flatten() for name in group])
        threshold = magnitudes.kthvalue(1 + round(amount * (len(magnitudes) - 1))).values
        masks |= {name: (weights[name].detach().abs() >= threshold).to(weights[name].dtype) for name in group}
    return masks


def amount_to_keep(model: nn.Module, keep: int, kernels: Kernels = "all") -> float:
    """Return the fraction to prune so that `keep` parameters stay, those of batch normalisation included.

    Raises:
        ModelError: the parameters that cannot be pruned are more than `keep`.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    prunable = sum(cast(Tensor, layer.weight).numel() for layer in prunable_layers(model, kernels).values())
    amount = max(0, total - keep) / prunable
    if amount > 1:
        raise ModelError(
            f"{keep:,} parameters cannot be kept: {total - prunable:,} of {total:,} are not pruned",
            "choose another `keep`, or kernels=all",
        )
    return amount


def ramp_factor(epoch: int, ramp: Ramp, ramp_epochs: float) -> float:
    """Return the share of the final fraction that is pruned in an epoch (from 0 on): 0..1, and 1 after `ramp_epochs`.

    `linear` is epoch / ramp_epochs, `exp` is exp(-(1 - epoch / ramp_epochs)^3).

    >>> ramp_factor(25, "linear", 50), round(ramp_factor(25, "exp", 50), 4), ramp_factor(60, "exp", 50)
    (0.5, 0.8825, 1.0)
    """
    progress = min(1.0, epoch / ramp_epochs)
    return progress if ramp == "linear" else math.exp(-((1 - progress) ** 3))


def attach_masks(model: nn.Module, kernels: Kernels = "all") -> None:
    """Put a mask of ones on every prunable weight of `model`, in place."""
    for layer in prunable_layers(model, kernels).values():
        parametrize.register_parametrization(layer, "weight", Mask(cast(Tensor, layer.weight)))


def set_masks(model: nn.Module, amount: float, scope: Scope = "global") -> None:
    """Set the masks that `attach_masks` has put on `model` by the magnitudes of the weights under them."""
    masked = {name: layer for name, layer in model.named_modules() if is_masked(layer)}
    weights = {name: layer.parametrizations.weight.original for name, layer in masked.items()}
    for name, mask in magnitude_masks(weights, amount, scope).items():
        masked[name].parametrizations.weight[0].mask.copy_(mask)


def without_masks(model: nn.Module) -> nn.Module:
    """Return a copy of `model` with its masks multiplied into the weights."""
    plain = copy.deepcopy(model)
    for layer in plain.modules():
        if is_masked(layer):
            # Not remove_parametrizations: copies share a class, and it takes the weight out of that class.
            weight = cast(Tensor, layer.weight).detach()
            del layer.parametrizations
            layer.__class__ = type(layer).__bases__[0]
            layer.weight = nn.Parameter(weight)
    return plain


def prune(model: nn.Module, amount: float, scope: Scope = "global", kernels: Kernels = "all") -> nn.Module:
    """Return a copy of `model` with the fraction `amount` of its prunable values set to zero."""
    pruned = copy.deepcopy(model)
    attach_masks(pruned, kernels)
    set_masks(pruned, amount, scope)
    return without_masks(pruned)
