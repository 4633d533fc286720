"""Counting a network layer by layer: parameters, non-zero values, bytes and multiply-adds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asc_mrkd.complexity.content import kind_of_layer, layers_with_content
from asc_mrkd.complexity.multiply_adds import count_multiply_adds
from asc_mrkd.complexity.rules import PRECISIONS, WIDTHS
from asc_mrkd.errors import ModelError


@dataclass(frozen=True)
class Tally:
    """How much some tensors hold."""

    values: int = 0
    non_zero: int = 0
    bytes: int = 0
    non_zero_bytes: int = 0


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
    statistics: Tally = Tally()
    """Running mean and variance of a batch normalisation, which are none of its parameters."""


def count_layers(
    model: nn.Module, input_shape: Sequence[int] | None = None, precision: str | None = None
) -> list[LayerCount]:
    """Count every layer of `model`, in the order of its modules.

    What a layer computes with counts, as it is stored: a pruned weight is zero where it is masked, a parametrised
    weight is what comes out of the parametrisation, a quantised layer has its packed weight and bias, a sparse
    tensor the values that it lists and not its indices, a damped convolution its undamped weight. A buffer counts
    nothing. A parameter that several layers share counts in the first of them.

    Args:
        model: any network.
        input_shape: (channel, mel, frame) of one input, for the multiply-adds; None leaves them at 0.
        precision: a key of `PRECISIONS` at which every floating-point value, quantised or not, is taken to be stored;
            None takes the width of its own dtype.

    Raises:
        ModelError: the network does not accept an input of that shape, or holds values of unknown width.

    >>> [(row.name, row.parameters, row.bytes) for row in count_layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))]
    [('0', 8, 32)]
    """
    multiply_adds = {} if input_shape is None else count_multiply_adds(model, input_shape)
    seen: set[int] = set()
    rows = []
    for name, layer, held in layers_with_content(model):
        statistics = _statistics(layer)
        if not held and not statistics:
            continue
        new = [tensor for tensor, key in held.values() if key not in seen]
        seen.update(key for _, key in held.values() if key is not None)
        own = _tally(new, precision, name)
        rows.append(
            LayerCount(
                name=name,
                kind=kind_of_layer(layer),
                parameters=own.values,
                non_zero=own.non_zero,
                dtype="+".join(dict.fromkeys(_stored(tensor, precision, name)[0] for tensor in new)) or "shared",
                bytes=own.bytes,
                non_zero_bytes=own.non_zero_bytes,
                multiply_adds=multiply_adds.get(name, 0),
                is_batch_norm=isinstance(layer, _BatchNorm),
                statistics=_tally(statistics, precision, name),
            )
        )
    return rows


def _statistics(layer: nn.Module) -> list[Tensor]:
    if not isinstance(layer, _BatchNorm):
        return []
    return [tensor for tensor in (layer.running_mean, layer.running_var) if tensor is not None]


def _tally(tensors: Iterable[Tensor], precision: str | None, where: str) -> Tally:
    total = Tally()
    for tensor in tensors:
        _, width = _stored(tensor, precision, where)
        values = _values(tensor)
        count, non_zero = values.numel(), int(values.count_nonzero())
        total = Tally(
            total.values + count,
            total.non_zero + non_zero,
            total.bytes + count * width,
            total.non_zero_bytes + non_zero * width,
        )
    return total


def _values(tensor: Tensor) -> Tensor:
    """Return the values that a tensor stores, in a form whose zeros can be told: a sparse one has few of them."""
    tensor = tensor.detach()
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.values()
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor


def _stored(tensor: Tensor, precision: str | None, where: str) -> tuple[str, int]:
    """Return the dtype of a tensor and its bytes a value.

    Raises:
        ModelError: a dtype of unknown width.
    """
    if precision and (tensor.is_floating_point() or tensor.is_quantized):
        return precision, PRECISIONS[precision]
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in WIDTHS:
        raise ModelError(f"layer {where or 'of the network'} is stored as {dtype}, a dtype of unknown width",
                         f"known: {', '.join(WIDTHS)}")  # fmt: skip
    return dtype.removeprefix("q"), WIDTHS[dtype]
