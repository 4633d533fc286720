"""Counting a network layer by layer: parameters, non-zero values, bytes and multiply-adds."""

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


class Held(NamedTuple):
    """One tensor of a layer, as the layer computes with it."""

    tensor: Tensor
    key: int | None
    """Tells parameters apart, so that a shared one counts once; None is never shared."""


def layers_with_content(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, Held]]]:
    """Yield name, module and tensors of every module, in order; parametrisations belong to the layer that has them.

    Raises:
        ModelError: a lazy parameter has no shape yet.
    """
    inside: set[int] = set()
    for name, layer in model.named_modules():
        if parametrize.is_parametrized(layer):
            inside |= {id(module) for module in layer.parametrizations.modules()}
        if id(layer) not in inside:
            yield name, layer, layer_content(layer, name)


@torch.no_grad()
def layer_content(layer: nn.Module, name: str = "") -> dict[str, Held]:
    """Return the tensors that a layer computes with, without those of its children.

    A weight pruned by `torch.nn.utils.prune` is its original times the mask; a parametrised weight is what the
    parametrisation makes of its originals; a quantised layer of torch.ao gives its packed weight and bias.

    Raises:
        ModelError: a lazy parameter has no shape yet.
    """
    own = dict(layer.named_parameters(recurse=False))
    if any(is_lazy(parameter) for parameter in own.values()):
        raise ModelError(f"layer {name or type(layer).__name__} has no shape yet", "run one input through the network")
    held = {key: Held(parameter.detach(), id(parameter)) for key, parameter in own.items()}
    for hook in layer._forward_pre_hooks.values():
        _apply_hook(hook, layer, held)
    if parametrize.is_parametrized(layer):
        held |= _parametrised(layer)
    return held or _packed(layer)


def kind_of_layer(layer: nn.Module) -> str:
    """Return the name of the class of a layer, without that of its parametrisation."""
    return parametrize.type_before_parametrizations(layer).__name__


def _apply_hook(hook: object, layer: nn.Module, held: dict[str, Held]) -> None:
    """Replace the parts that a hook makes a weight from by that weight."""
    if isinstance(hook, BasePruningMethod):
        name = hook._tensor_name
        original = held.pop(f"{name}_orig")
        held[name] = Held(original.tensor * getattr(layer, f"{name}_mask"), original.key)
    elif isinstance(hook, WeightNorm):
        direction, _ = held.pop(f"{hook.name}_v"), held.pop(f"{hook.name}_g")
        held[hook.name] = Held(hook.compute_weight(layer), direction.key)
    elif isinstance(hook, SpectralNorm):
        original = held.pop(f"{hook.name}_orig")
        held[hook.name] = Held(hook.compute_weight(layer, do_power_iteration=False), original.key)


def _parametrised(layer: nn.Module) -> dict[str, Held]:
    held = {}
    for name, parametrisation in layer.parametrizations.items():  # type: ignore[union-attr, operator]
        with _evaluating(parametrisation):
            tensor = getattr(layer, name)
        original = next(parametrisation.parameters(recurse=False), None)
        held[name] = Held(tensor, None if original is None else id(original))
    return held


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while: a spectral norm changes with every look in training mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _packed(layer: nn.Module) -> dict[str, Held]:
    """Return the tensors of a quantised layer, which holds them outside of its parameters."""
    if not any(base.__module__.startswith("torch.ao.nn.") for base in type(layer).__mro__):
        return {}
    held: dict[str, Held] = {}
    for part in ("weight", "bias"):
        get, get_all = getattr(layer, part, None), getattr(layer, f"get_{part}", None)  # the latter: recurrent layers
        tensors = {part: get()} if callable(get) else get_all() if callable(get_all) else {}
        held |= {name: Held(tensor, None) for name, tensor in tensors.items() if tensor is not None}
    return held


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
        raise ModelError(
            f"layer {where or 'of the network'} is stored as {dtype}, a dtype of unknown width",
            f"known: {', '.join(WIDTHS)}",
        )
    return dtype.removeprefix("q"), WIDTHS[dtype]
