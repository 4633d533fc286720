"""Decomposition of the convolutions of a trained network into 1x1 - k x k - 1x1.

The form is that of Koutini et al. (DCASE 2020), who train it from scratch. Here a trained convolution is taken apart by
the truncated higher-order SVD of its weight along output and input channels (Tucker-2; De Lathauwer et al., 2000).
"""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model, network_takes, without_storage
from asc_mrkd.models.cp_resnet import DampedConv2d


def decompose(file: ModelFile, factor: int) -> ModelFile:
    """Return the network with every convolution of its residual blocks decomposed.

    Args:
        file: a network that has the option `decomposition` and does not use it yet.
        factor: the inner convolutions have 1 / factor of the output channels.

    Raises:
        ModelError: the network has no such option or uses it already, or `factor` does not divide its width.
    """
    network, architecture = _build_decomposed(file, factor)
    for path, layer in file.model.named_modules():
        target = network.get_submodule(path)
        if isinstance(layer, nn.Conv2d) and isinstance(target, nn.Sequential):
            _approximate(target, layer)
        elif not any(layer.children()):
            target.load_state_dict(layer.state_dict())
            if isinstance(layer, DampedConv2d) and not isinstance(target, DampedConv2d):  # the stem
                cast(nn.Conv2d, target).weight.data *= layer.damper
    return replace(file, model=network.eval(), architecture=architecture)


def can_decompose(file: ModelFile, factor: int) -> bool:
    """Return whether `decompose` takes a network and a factor."""
    try:
        with without_storage():
            _build_decomposed(file, factor)
    except ModelError:
        return False
    return True


def _build_decomposed(file: ModelFile, factor: int) -> tuple[nn.Module, dict[str, Any]]:
    """Build the decomposed form of a network, untrained; return it and its architecture."""
    name = file.architecture["name"]
    options = file.architecture["options"]
    if "code" in file.architecture or not network_takes(name, "decomposition"):
        raise ModelError(f"{name} has no decomposed form", "the networks that have one: cp_resnet, cp_resnet_damped")
    if options.get("decomposition", 1) != 1:
        message = f"the convolutions are decomposed already, by a factor of {options['decomposition']}"
        raise ModelError(message, "leave the step decompose out")
    architecture = {**file.architecture, "options": {**options, "decomposition": factor}}
    return build_model(name, architecture["num_classes"], **architecture["options"]), architecture


@torch.no_grad()
def _approximate(target: nn.Sequential, layer: nn.Conv2d) -> None:
    """Set the three convolutions of `target` so that they approximate `layer` as closely as their width allows."""
    first, middle, last = cast(list[nn.Conv2d], list(target))
    weight = layer.weight * layer.damper if isinstance(layer, DampedConv2d) else layer.weight
    outer = _leading_vectors(weight, 0, middle.out_channels)
    inner = _leading_vectors(weight, 1, middle.in_channels)
    core = torch.einsum("oihw,or,is->rshw", weight, outer, inner)
    if isinstance(middle, DampedConv2d):  # it damps again
        core = torch.where(middle.damper > 0, core / middle.damper, 0.0)
    first.weight.copy_(inner.T[:, :, None, None])
    middle.weight.copy_(core)
    last.weight.copy_(outer[:, :, None, None])


def _leading_vectors(weight: Tensor, axis: int, count: int) -> Tensor:
    """Return the `count` leading singular vectors along an axis as columns; zeros where there are fewer."""
    vectors = torch.linalg.svd(weight.transpose(0, axis).flatten(1), full_matrices=False).U[:, :count]
    return nn.functional.pad(vectors, (0, count - vectors.shape[1]))
