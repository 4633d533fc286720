"""Batch normalisation folded into the convolutions before it, in a copy of a network that runs and is never trained."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._pytree import tree_leaves, tree_map_only

from asc_mrkd.mrkd.networks import copy_network, device_of

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

PROBED = 8
"""Samples of a batch that show which layers follow each other, and whether the copy computes the same."""

TOLERANCE = 1e-3
"""Largest difference between the outputs of the copy and of the network, as a share of the largest value."""


@torch.no_grad()
def fold_normalisation(network: nn.Module, x: Any, keywords: Mapping[str, Any]) -> nn.Module:
    """Return a copy of a network in evaluation mode that computes the same with fewer layers.

    A normalisation whose input is the output of a convolution becomes part of it. The pairs are found by running the
    network on a few samples, so it may be anyone's. If the copy does not give the same on them, as where the output of
    the convolution is also used elsewhere, the network itself is returned.

    Args:
        network: the network, with running statistics.
        x: input, batch first.
        keywords: further inputs, by name.
    """
    try:
        with torch.autocast(device_of(network).type, enabled=False):
            return _fold(network, *_first_samples(x, keywords))
    except Exception:  # whatever the network makes of it
        return network


def _first_samples(x: Any, keywords: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Return a copy of the first samples of a batch: of every tensor that has as many rows as its first one."""
    rows = len(tree_leaves(x)[0])

    def first(one: Tensor) -> Tensor:
        return (one[:PROBED] if one.dim() and len(one) == rows else one).clone()

    return tree_map_only(Tensor, first, (x, keywords))


def _fold(network: nn.Module, x: Any, keywords: Mapping[str, Any]) -> nn.Module:
    pairs, expected = _find_pairs(network, x, keywords)
    folded = copy_network(network)
    for convolution_name, norm_name in pairs:
        convolution: Any = folded.get_submodule(convolution_name)
        norm: Any = folded.get_submodule(norm_name)
        folded.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, norm))
        folded.set_submodule(norm_name, nn.Identity())
    found = folded(x, **keywords)
    same = zip(tree_leaves(expected), tree_leaves(found), strict=True)
    return folded if all(_is_close(a, b) for a, b in same) else network


def _find_pairs(network: nn.Module, x: Any, keywords: Mapping[str, Any]) -> tuple[list[tuple[str, str]], Any]:
    """Return the names of convolutions and of the normalisations after them, and the output of the network."""
    runs: Counter[str] = Counter()
    made: list[tuple[str, Tensor, int]] = []
    pairs: list[tuple[str, str]] = []

    def look(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[name] += 1
        if isinstance(layer, CONVOLUTIONS):
            made[:] = [(name, output, output._version)]
        elif made and inputs[0] is made[0][1] and inputs[0]._version == made[0][2]:  # nothing was done to it in place
            pairs.append((made[0][0], name))

    layers = [(name, layer) for name, layer in network.named_modules() if _is_plain(layer)]
    hooks = [layer.register_forward_hook(partial(look, name)) for name, layer in layers]
    try:
        output = network(x, **keywords)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in pairs if all(runs[name] == 1 for name in pair)], output


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer is a convolution or a normalisation as torch has it, whose weights nothing computes."""
    return type(layer) in CONVOLUTIONS + NORMALISATIONS and not layer._forward_pre_hooks and not layer._forward_hooks


def _is_close(a: Any, b: Any) -> bool:
    """Return whether two tensors are the same up to rounding; other values count as the same."""
    if not isinstance(a, Tensor):
        return True
    return bool((a - b).abs().max() <= TOLERANCE * a.abs().max())
