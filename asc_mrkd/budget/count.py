"""Counting a torch network layer by layer: parameters, non-zero values, bytes and multiply-adds."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from asc_mrkd.budget.rules import PRECISIONS, WIDTHS
from asc_mrkd.errors import ModelError, first_line

FORWARD_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""Exceptions of a forward pass whose input does not fit."""


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


def count_layers(
    model: nn.Module, input_shape: Sequence[int] | None = None, precision: str | None = None
) -> list[LayerCount]:
    """Count every layer of `model`, in the order of its modules.

    The tensors that a layer computes with count, as they are stored. A pruned weight is zero where it is masked. A
    parametrised weight is the output of its parametrisation. A quantised layer has its packed weight and bias. A
    sparse tensor has the values that it lists, not its indices. A damped convolution has its undamped weight. A buffer
    counts nothing. A parameter that several layers share counts in the first of them.

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
    for name, layer, tensors in layers_with_tensors(model):
        statistics = _running_statistics(layer)
        if not tensors and not statistics:
            continue
        new = [tensor for tensor, key in tensors.values() if key not in seen]
        seen.update(key for _, key in tensors.values() if key is not None)
        tally = _tally(new, precision, name)
        dtypes = dict.fromkeys(_stored_type(tensor, precision, name)[0] for tensor in new)
        rows.append(
            LayerCount(
                name=name,
                kind=layer_kind(layer),
                parameters=tally.values,
                non_zero=tally.non_zero,
                dtype="+".join(dtypes) or "shared",
                bytes=tally.bytes,
                non_zero_bytes=tally.non_zero_bytes,
                multiply_adds=multiply_adds.get(name, 0),
                is_batch_norm=isinstance(layer, _BatchNorm),
                statistics=_tally(statistics, precision, name),
            )
        )
    return rows


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
    if any(isinstance(layer, torch.jit.ScriptModule) for layer in model.modules()):
        raise ModelError("the layers of a TorchScript network cannot be followed", "count the network it was made from")
    clone = _float32_copy(model)
    layers = {name: layer for name, layer, tensors in layers_with_tensors(clone) if tensors}
    counts: defaultdict[str, int] = defaultdict(int)
    for name, layer in layers.items():
        prefix = f"{name}." if name else ""
        contains_another = any(other.startswith(prefix) and other != name for other in layers)
        if not contains_another:
            layer.register_forward_hook(lambda layer, _, output, name=name: _add_call(counts, name, layer, output))
    device = next((tensor.device for tensor in (*clone.parameters(), *clone.buffers())), torch.device("cpu"))
    try:
        with torch.no_grad():
            clone(torch.zeros(1, *input_shape, device=device))
    except FORWARD_ERRORS as error:
        shape = " x ".join(map(str, input_shape))
        raise ModelError(f"the network does not accept an input of {shape}: {first_line(error)}") from None
    return dict(counts)


def _add_call(counts: dict[str, int], name: str, layer: nn.Module, output: Any) -> None:
    """Add the multiply-adds of one call of a layer; of several outputs the deepest first (in a dict last) counts."""
    while not isinstance(output, Tensor):
        output = next(reversed(output.values())) if isinstance(output, dict) else output[0]
    shape = output.shape
    is_convolution = "Conv" in layer_kind(layer)
    for part, (tensor, _) in layer_tensors(layer).items():
        if part in ("weight", "bias"):
            times = prod((*shape[:1], *shape[2:])) if is_convolution else shape[0]
        elif "weight" in part or "bias" in part:
            times = prod(shape[:2])
        else:
            times = 0
        counts[name] += tensor.numel() * times


def _float32_copy(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode with every parameter dense and in float32."""
    copies: dict[int, Any] = {}
    for layer in model.modules():
        for value in (*vars(layer).values(), *layer._buffers.values()):
            # A mask or a norm leaves its product on the layer, which deepcopy refuses.
            if isinstance(value, Tensor) and not value.is_leaf:
                copies[id(value)] = value.detach().clone()
    for parameter in model.parameters():
        if not is_lazy(parameter):
            dense = parameter.detach() if parameter.layout == torch.strided else parameter.detach().to_dense()
            copies[id(parameter)] = nn.Parameter(dense.to(torch.float32, copy=True), requires_grad=False)
    return copy.deepcopy(model, copies).eval().float()


class LayerTensor(NamedTuple):
    """One tensor that a layer computes with."""

    tensor: Tensor
    key: int | None
    """Identity of the parameter, so that a shared one counts once; None for a tensor that is never shared."""


def layers_with_tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, LayerTensor]]]:
    """Yield name, module and tensors of every module in order, parametrisations as part of their layer.

    Raises:
        ModelError: a lazy parameter has no shape yet.
    """
    parametrisations: set[int] = set()
    for name, layer in model.named_modules():
        if parametrize.is_parametrized(layer):
            parametrisations |= {id(module) for module in layer.parametrizations.modules()}
        if id(layer) not in parametrisations:
            yield name, layer, layer_tensors(layer, name)


@torch.no_grad()
def layer_tensors(layer: nn.Module, name: str = "") -> dict[str, LayerTensor]:
    """Return the tensors that a layer computes with, without those of its children.

    A weight pruned by `torch.nn.utils.prune` is its original times the mask. A parametrised weight is the output of
    its parametrisation. A quantised layer of torch.ao gives its packed weight and bias.

    Raises:
        ModelError: a lazy parameter has no shape yet.
    """
    parameters = dict(layer.named_parameters(recurse=False))
    if any(is_lazy(parameter) for parameter in parameters.values()):
        raise ModelError(f"layer {name or type(layer).__name__} has no shape yet", "run one input through the network")
    tensors = {part: LayerTensor(parameter.detach(), id(parameter)) for part, parameter in parameters.items()}
    for hook in layer._forward_pre_hooks.values():
        _replace_parts_of_hook(hook, layer, tensors)
    if parametrize.is_parametrized(layer):
        tensors |= _parametrised_tensors(layer)
    return tensors or _quantised_tensors(layer)


def layer_kind(layer: nn.Module) -> str:
    """Return the name of the class of a layer, without that of its parametrisation."""
    return parametrize.type_before_parametrizations(layer).__name__


def _replace_parts_of_hook(hook: object, layer: nn.Module, tensors: dict[str, LayerTensor]) -> None:
    """Replace the parts from which a hook computes a weight by that weight."""
    if isinstance(hook, BasePruningMethod):
        name = hook._tensor_name
        original = tensors.pop(f"{name}_orig")
        tensors[name] = LayerTensor(original.tensor * getattr(layer, f"{name}_mask"), original.key)
    elif isinstance(hook, WeightNorm):
        direction = tensors.pop(f"{hook.name}_v")
        del tensors[f"{hook.name}_g"]
        tensors[hook.name] = LayerTensor(hook.compute_weight(layer), direction.key)
    elif isinstance(hook, SpectralNorm):
        original = tensors.pop(f"{hook.name}_orig")
        tensors[hook.name] = LayerTensor(hook.compute_weight(layer, do_power_iteration=False), original.key)


def _parametrised_tensors(layer: nn.Module) -> dict[str, LayerTensor]:
    tensors = {}
    for name, parametrisation in layer.parametrizations.items():  # type: ignore[union-attr, operator]
        with _evaluation_mode(parametrisation):
            tensor = getattr(layer, name)
        original = next(parametrisation.parameters(recurse=False), None)
        tensors[name] = LayerTensor(tensor, None if original is None else id(original))
    return tensors


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while: in training mode a spectral norm changes at every access."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _quantised_tensors(layer: nn.Module) -> dict[str, LayerTensor]:
    """Return the tensors of a quantised layer of torch.ao, which are not among its parameters."""
    if not any(base.__module__.startswith("torch.ao.nn.") for base in type(layer).__mro__):
        return {}
    tensors: dict[str, LayerTensor] = {}
    for part in ("weight", "bias"):
        get_one = getattr(layer, part, None)
        get_all = getattr(layer, f"get_{part}", None)  # of a recurrent layer
        found: dict[str, Tensor | None] = {}
        if callable(get_one):
            found = {part: get_one()}
        elif callable(get_all):
            found = get_all()
        tensors |= {name: LayerTensor(tensor, None) for name, tensor in found.items() if tensor is not None}
    return tensors
