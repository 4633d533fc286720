"""Counting a network layer by layer: parameters, non-zero values, bytes and multiply-adds."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torchinfo
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asc_mrkd.complexity.rules import PRECISIONS
from asc_mrkd.errors import ModelError


@dataclass(frozen=True)
class LayerCount:
    """One layer that holds parameters of its own."""

    name: str
    kind: str
    parameters: int
    non_zero: int
    dtype: str
    """How its parameters are stored, or taken to be stored; `shared` when an earlier layer holds them all."""
    bytes: int
    """Size of all its parameters."""
    non_zero_bytes: int
    """Size of its non-zero parameters."""
    multiply_adds: int
    is_batch_norm: bool


def count_layers(
    model: nn.Module, input_shape: Sequence[int] | None = None, precision: str | None = None
) -> list[LayerCount]:
    """Count every layer of `model`, in the order of its modules.

    Only parameters count, as they are stored: a damped convolution counts its undamped weight, a buffer counts
    nothing. A parameter that several layers share counts in the first of them.

    Args:
        model: any network.
        input_shape: (channel, mel, frame) of one input, for the multiply-adds; None leaves them at 0.
        precision: a key of `PRECISIONS` at which every floating-point parameter is taken to be stored; None takes
            the width of its own dtype.

    Raises:
        ModelError: the network does not accept an input of that shape.

    >>> [(row.name, row.parameters, row.bytes) for row in count_layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))]
    [('0', 8, 32)]
    """
    multiply_adds = {} if input_shape is None else count_multiply_adds(model, input_shape)
    seen: set[int] = set()
    rows = []
    for name, layer in model.named_modules():
        own = list(layer.parameters(recurse=False))
        if not own:
            continue
        new = [p for p in own if id(p) not in seen]
        seen.update(map(id, new))
        stored = [_stored(p, precision) for p in new]
        non_zero = [int(p.count_nonzero()) for p in new]
        rows.append(
            LayerCount(
                name=name,
                kind=type(layer).__name__,
                parameters=sum(p.numel() for p in new),
                non_zero=sum(non_zero),
                dtype="+".join(dict.fromkeys(dtype for dtype, _ in stored)) or "shared",
                bytes=sum(p.numel() * width for p, (_, width) in zip(new, stored, strict=True)),
                non_zero_bytes=sum(n * width for n, (_, width) in zip(non_zero, stored, strict=True)),
                multiply_adds=multiply_adds.get(name, 0),
                is_batch_norm=isinstance(layer, _BatchNorm),
            )
        )
    return rows


def _stored(parameter: nn.Parameter, precision: str | None) -> tuple[str, int]:
    """Return the dtype of a parameter and its bytes a value."""
    if precision and parameter.is_floating_point():
        return precision, PRECISIONS[precision]
    return str(parameter.dtype).removeprefix("torch."), parameter.element_size()


def count_multiply_adds(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Return the multiply-adds of every layer for one input of (channel, mel, frame).

    torchinfo counts, as in the organisers' calculators since 2022: convolutions and linear layers by their
    products, batch normalisation by its parameters, pooling and activations as nothing. The forward pass runs on a
    float32 copy, so that the figure does not depend on how the network is stored.

    Raises:
        ModelError: the network does not accept an input of that shape.
    """
    clone = copy.deepcopy(model).float()
    device = next((p.device.type for p in clone.parameters()), "cpu")
    try:
        statistics = torchinfo.summary(clone, input_size=(1, *input_shape), device=device, verbose=0)
    except RuntimeError as error:
        shape = " x ".join(map(str, input_shape))
        raise ModelError(f"the network does not accept an input of {shape}: {error.__cause__ or error}") from None
    names = {id(layer): name for name, layer in clone.named_modules()}
    counts: defaultdict[str, int] = defaultdict(int)
    for layer in statistics.summary_list:
        if layer.is_leaf_layer:
            counts[names[layer.layer_id]] += layer.macs
    return dict(counts)
