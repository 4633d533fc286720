"""Counting a torch network layer by layer: parameters, non-zero values, bytes and multiply-adds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from asc_mrkd.budget.forward import Forward, watch_forward
from asc_mrkd.budget.rules import PRECISIONS, WIDTHS
from asc_mrkd.budget.tensors import (
    hidden_values,
    is_wrapped,
    join,
    layer_kind,
    layers_with_tensors,
    other_tensors,
    stored_values,
    without_wrappers,
)
from asc_mrkd.errors import ModelError


@dataclass(frozen=True)
class Tally:
    """Number and size of the values in some tensors."""

    values: int = 0
    non_zero: int = 0
    bytes: int = 0
    non_zero_bytes: int = 0


@dataclass(frozen=True)
class LayerCount:
    """Counts of one layer that holds parameters itself."""

    name: str
    kind: str
    """Name of its class, or of its ONNX operator."""
    parameters: int
    non_zero: int
    dtype: str
    """Type in which its parameters are stored, or are taken to be; `shared` when an earlier layer holds them all."""
    bytes: int
    """Size of all its parameters."""
    non_zero_bytes: int
    """Size of its non-zero parameters."""
    multiply_adds: int
    is_batch_norm: bool
    statistics: Tally = Tally()
    """Running mean and variance of a batch normalisation; they are not parameters."""


@dataclass(frozen=True)
class Uncounted:
    """A part of a network that the figures of the rule leave out, or that is not understood."""

    name: str
    """Name of the layer, the operator or the tensor."""
    reason: str
    multiply_adds: int | None = 0
    """Multiply-adds that are left out; None if their number, and so the whole count, is not known."""
    bytes: int = 0
    """Bytes that are left out."""


def count_layers(
    model: nn.Module, input_shape: Sequence[int] | None = None, precision: str | None = None
) -> list[LayerCount]:
    """Count every layer of `model`, in the order of its modules.

    The tensors that a layer computes with count, as they are stored. A pruned weight is zero where it is masked. A
    parametrised weight is the output of its parametrisation. A quantised layer has its packed weight and bias. A
    sparse tensor has the values that it lists, not its indices. A damped convolution has its undamped weight. A
    parameter that several layers share counts in the first of them. A buffer counts if it holds 8-bit integers with
    more than one dimension and is not a mask, or if an input is multiplied with it as with a weight or a bias. Others
    do not; `find_uncounted` lists those that may be weights all the same.

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
    forward = None if input_shape is None else watch_forward(model, input_shape)
    return count_values(model, forward, precision)


def count_values(model: nn.Module, forward: Forward | None, precision: str | None = None) -> list[LayerCount]:
    """Count every layer as `count_layers` does, with the multiply-adds and the weights of a watched forward pass."""
    forward = forward or Forward()
    layers = list(layers_with_tensors(model, forward.weights))
    stored = stored_values(tensors for _, _, tensors in layers)
    seen: set[int] = set()
    rows = []
    for name, layer, tensors in layers:
        statistics = _running_statistics(layer)
        if not tensors and not statistics:
            continue
        new = [tensor if key is None else stored[key] for tensor, key in tensors.values() if key not in seen]
        seen.update(key for _, key in tensors.values() if key is not None)
        tally = _tally(new, precision, name)
        dtypes = dict.fromkeys(_stored_type(tensor, precision, name)[0] for tensor in new)
        rows.append(
            LayerCount(
                name=without_wrappers(name),
                kind=layer_kind(layer),
                parameters=tally.values,
                non_zero=tally.non_zero,
                dtype="+".join(dtypes) or "shared",
                bytes=tally.bytes,
                non_zero_bytes=tally.non_zero_bytes,
                multiply_adds=forward.multiply_adds.get(name, 0),
                is_batch_norm=isinstance(layer, _BatchNorm),
                statistics=_tally(statistics, precision, name),
            )
        )
    return rows


def find_uncounted(model: nn.Module, forward: Forward | None) -> list[Uncounted]:
    """List the parts of a network that the counts leave out, and what may be a weight without being counted as one."""
    found = []
    for name, _, tensors in layers_with_tensors(model):
        if any(is_wrapped(tensor) for tensor, _ in tensors.values()):
            kinds = " and ".join(dict.fromkeys(type(tensor).__name__ for tensor, _ in tensors.values()))
            found.append(Uncounted(without_wrappers(name), f"keeps its values as {kinds}, of unknown size", None))
    found += _possible_weights(model, forward)
    if forward is None:
        return found
    for name, amount in forward.unseen.items():
        reason = f"multiplies {amount:,} times more than torchinfo counts"
        found.append(Uncounted(name, reason, amount))
    for name, operator in forward.unknown.items():
        found.append(Uncounted(name, f"uses {operator}, whose multiply-adds are not known", None))
    return found


def _possible_weights(model: nn.Module, forward: Forward | None) -> Iterator[Uncounted]:
    """Yield the buffers and attributes that may be weights.

    Without a forward pass any of them may be one. With it, weights that an input is multiplied with are known. Left is
    a matrix that meets an input otherwise, as in a look-up or a product that is written as multiplication and sum.
    """
    registered = {id(module) for module in model.modules()}
    for name, layer, tensors in layers_with_tensors(model, () if forward is None else forward.weights):
        for part, tensor in other_tensors(layer).items():
            full_name = join(name, part)
            if part in tensors or not _may_be_weight(layer, part, tensor):
                continue
            reason = f"{tensor.numel():,} values outside of the parameters may be weights"
            if forward is None:
                reason += ": give an input shape"
            elif full_name not in forward.tables or sum(size > 1 for size in tensor.shape) < 2:
                continue
            yield Uncounted(without_wrappers(full_name), reason, bytes=tensor.numel() * tensor.element_size())
        for part in hidden_values(layer, registered) if forward is None else ():
            reason = "may hold weights outside of the parameters: give an input shape"
            yield Uncounted(without_wrappers(join(name, part)), reason, None)


def _may_be_weight(layer: nn.Module, part: str, tensor: Tensor) -> bool:
    """Return whether a buffer or attribute holds several numbers that are neither a mask, statistics nor a factor."""
    is_number = tensor.is_floating_point() or tensor.dtype in (torch.int16, torch.int32)
    is_statistic = isinstance(layer, _NormBase) and part in ("running_mean", "running_var")
    return is_number and not is_statistic and tensor.numel() > 1 and not _is_computed_from(layer, tensor)


def _is_computed_from(layer: nn.Module, tensor: Tensor) -> bool:
    """Return whether a buffer only changes a parameter of its layer: a mask, a damper."""
    return any(tensor.numel() <= parameter.numel() for parameter in layer.parameters(recurse=False))


def count_multiply_adds(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Map layers to their multiply-adds for one input of (channel, mel, frame).

    The rule is that of torchinfo, with which the organisers count since 2022: a convolution takes its values times
    the positions of its output, any other layer its values once, recurrent layers once per step; pooling, activations
    and sums take nothing. Unlike torchinfo, it sees the weights of quantised, pruned and parametrised layers. Zeros
    are multiplied like any other value. The forward pass runs on a float32 copy, so that the figure does not depend on
    the type in which the network is stored.

    Raises:
        ModelError: the network does not accept an input of that shape, or it is compiled to TorchScript.
    """
    return watch_forward(model, input_shape).multiply_adds


def _running_statistics(layer: nn.Module) -> list[Tensor]:
    if not isinstance(layer, _BatchNorm):
        return []
    return [tensor for tensor in (layer.running_mean, layer.running_var) if tensor is not None]


def _tally(tensors: Iterable[Tensor], precision: str | None, layer: str) -> Tally:
    values = 0
    non_zero = 0
    size = 0
    non_zero_size = 0
    for tensor in tensors:
        _, width = _stored_type(tensor, precision, layer)
        stored = _stored_values(tensor)
        nonzero_here = int(stored.count_nonzero())
        values += stored.numel()
        non_zero += nonzero_here
        size += stored.numel() * width
        non_zero_size += nonzero_here * width
    return Tally(values, non_zero, size, non_zero_size)


def _stored_values(tensor: Tensor) -> Tensor:
    """Return the values that a tensor lists (a sparse one lists few), in a type that torch can compare with zero."""
    tensor = tensor.detach()
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.values()
    if tensor.is_quantized:
        return tensor.dequantize()
    if tensor.is_floating_point() and tensor.element_size() == 1:
        return tensor.float()
    return tensor


def _stored_type(tensor: Tensor, precision: str | None, layer: str) -> tuple[str, int]:
    """Return the dtype in which a tensor is stored, or is taken to be, and its bytes per value.

    Raises:
        ModelError: a dtype of unknown width.
    """
    if precision and (tensor.is_floating_point() or tensor.is_quantized):
        return precision, PRECISIONS[precision]
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in WIDTHS:
        raise ModelError(
            f"layer {layer or 'of the network'} is stored as {dtype}, a dtype of unknown width",
            f"known: {', '.join(WIDTHS)}",
        )
    return dtype.removeprefix("q"), WIDTHS[dtype]
