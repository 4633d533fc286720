"""Multiply-adds of a network, layer by layer."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from asc_mrkd.complexity.content import kind_of_layer, layer_content, layers_with_content
from asc_mrkd.errors import ModelError, first_line

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a forward pass raises when its input does not fit."""


def count_multiply_adds(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Return the multiply-adds of every layer for one input of (channel, mel, frame).

    The rule is that of torchinfo, with which the organisers count since 2022: a convolution takes its values times
    the positions of its output, any other layer its values once, recurrent layers once a step; pooling, activations
    and sums take nothing. Unlike torchinfo, it sees the weights of quantised, pruned and parametrised layers, and
    zeros are multiplied like any other value. The forward pass runs on a float32 copy, so that the figure does not
    depend on how the network is stored.

    Raises:
        ModelError: the network does not accept an input of that shape, or it is compiled to TorchScript.
    """
    if any(isinstance(layer, torch.jit.ScriptModule) for layer in model.modules()):
        raise ModelError("the layers of a TorchScript network cannot be followed", "count the network it was made from")
    clone = _float32_copy(model)
    content = {name: (layer, held) for name, layer, held in layers_with_content(clone)}
    holders = {name for name, (_, held) in content.items() if held}
    counts: defaultdict[str, int] = defaultdict(int)
    for name in holders:
        if not any(other.startswith(f"{name}." if name else "") and other != name for other in holders):
            content[name][0].register_forward_hook(lambda layer, _, out, name=name: _add(counts, name, layer, out))
    device = next((p.device for p in (*clone.parameters(), *clone.buffers())), torch.device("cpu"))
    try:
        with torch.no_grad():
            clone(torch.zeros(1, *input_shape, device=device))
    except FAILURES as error:
        shape = " x ".join(map(str, input_shape))
        raise ModelError(f"the network does not accept an input of {shape}: {first_line(error)}") from None
    return dict(counts)


def _add(counts: dict[str, int], name: str, layer: nn.Module, output: Any) -> None:
    """Add the multiply-adds of one call of a layer."""
    while not isinstance(output, Tensor):
        output = next(reversed(output.values())) if isinstance(output, dict) else output[0]
    shape, is_convolution = output.shape, "Conv" in kind_of_layer(layer)
    for part, held in layer_content(layer).items():
        if part in ("weight", "bias"):
            times = prod((*shape[:1], *shape[2:])) if is_convolution else shape[0]
        else:
            times = prod(shape[:2]) if "weight" in part or "bias" in part else 0
        counts[name] += held.tensor.numel() * times


def _float32_copy(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode with every parameter dense and in float32."""
    results = (
        value
        for layer in model.modules()
        for value in (*vars(layer).values(), *layer._buffers.values())
        if isinstance(value, Tensor) and not value.is_leaf
    )  # a mask or a norm leaves its product on the layer, which deepcopy refuses
    copies: dict[int, Any] = {id(value): value.detach().clone() for value in results}
    for parameter in model.parameters():
        if not is_lazy(parameter):
            dense = parameter.detach() if parameter.layout == torch.strided else parameter.detach().to_dense()
            copies[id(parameter)] = nn.Parameter(dense.to(torch.float32, copy=True), requires_grad=False)
    return copy.deepcopy(model, copies).eval().float()
