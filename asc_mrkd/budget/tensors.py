"""The tensors that a layer of a torch network computes with, wherever it keeps them."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from asc_mrkd.errors import ModelError
from asc_mrkd.mrkd.networks import unwrap

PACKED = (torch.int8, torch.uint8)
"""Types of a buffer that holds quantised weights, unless its values are only zeros and ones: then it is a mask."""


INTERNALS = frozenset(vars(nn.Module()))
"""Attributes that every torch module has."""


class LayerTensor(NamedTuple):
    """One tensor that a layer computes with."""

    tensor: Tensor
    key: int | None
    """Identity of the parameter, so that a shared one counts once; None for a tensor that is never shared."""


def layers_with_tensors(
    model: nn.Module, weights: Collection[str] = ()
) -> Iterator[tuple[str, nn.Module, dict[str, LayerTensor]]]:
    """Yield name, module and tensors of every module in order, parametrisations as part of their layer.

    Args:
        model: any network; wrappers around it are taken off.
        weights: names of the buffers and other tensors that count as weights, besides those of `PACKED` types.

    Raises:
        ModelError: a lazy parameter has no shape yet.
    """
    parametrisations: set[int] = set()
    for name, layer in unwrap(model).named_modules():
        if parametrize.is_parametrized(layer):
            parametrisations |= {id(module) for module in layer.parametrizations.modules()}
        if id(layer) in parametrisations:
            continue
        tensors = layer_tensors(layer, name)
        for part, tensor in other_tensors(layer).items():
            if part not in tensors and (join(name, part) in weights or _is_packed(tensor)):
                tensors[part] = LayerTensor(tensor.detach(), id(tensor))
        yield name, layer, tensors


def stored_values(layers: Iterable[dict[str, LayerTensor]]) -> dict[int, Tensor]:
    """Return the values of every parameter by its key; of one that some layers prune, what all of them need together.

    Args:
        layers: tensors of every layer, see `layers_with_tensors`.
    """
    stored: dict[int, Tensor] = {}
    for tensors in layers:
        for tensor, key in tensors.values():
            if key is None:
                continue
            known = stored.setdefault(key, tensor)
            if _storage_of(known) != _storage_of(tensor) and known.shape == tensor.shape:
                stored[key] = torch.where(known == 0, tensor, known)
    return stored


def join(layer: str, part: str) -> str:
    """Return the full name of a tensor of a layer; the network itself has the name ""."""
    return f"{layer}.{part}" if layer else part


def without_wrappers(name: str) -> str:
    """Return the name of a layer without the parts that torch.compile adds.

    >>> without_wrappers("encoder._orig_mod.conv")
    'encoder.conv'
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def other_tensors(layer: nn.Module) -> dict[str, Tensor]:
    """Return the buffers of a layer and the tensors that are plain attributes of it, without those of its children.

    Attributes that are views of a parameter are left out.
    """
    attributes = {name: value for name, value in vars(layer).items() if isinstance(value, Tensor)}
    if attributes:
        shared = {_storage_of(parameter) for parameter in layer.parameters()} - {None}
        attributes = {name: value for name, value in attributes.items() if _storage_of(value) not in shared}
    computed = {hook.name for hook in layer._forward_pre_hooks.values() if isinstance(hook, WeightNorm | SpectralNorm)}
    computed |= {hook._tensor_name for hook in layer._forward_pre_hooks.values() if isinstance(hook, BasePruningMethod)}
    named = {**dict(layer.named_buffers(recurse=False)), **attributes}
    return {name: tensor for name, tensor in named.items() if name not in computed}


def _storage_of(tensor: Tensor) -> int | None:
    """Return the address of the values of a tensor; None if it stores none."""
    if is_lazy(tensor) or is_wrapped(tensor) or tensor.layout != torch.strided or tensor.is_meta:
        return None
    return tensor.untyped_storage().data_ptr()


def hidden_values(layer: nn.Module, registered: Collection[int]) -> Iterator[str]:
    """Yield the attributes of a layer that hold matrices or modules which torch does not see.

    Args:
        layer: the layer.
        registered: identities of the modules that torch sees.
    """
    if type(layer).__module__.startswith("torch."):
        return
    for name, value in vars(layer).items():
        if name in INTERNALS or isinstance(value, Tensor):  # for tensors see `other_tensors`
            continue
        if any(_is_hidden(leaf, registered) for leaf in tree_leaves(value)):
            yield name


def _is_hidden(value: object, registered: Collection[int]) -> bool:
    if isinstance(value, nn.Module):
        is_empty = next(value.parameters(), None) is None and next(value.buffers(), None) is None
        return id(value) not in registered and not is_empty
    if isinstance(value, np.ndarray):
        return value.ndim > 1
    if isinstance(value, Tensor):
        return value.dim() > 1 and value.is_floating_point() and not isinstance(value, nn.Parameter)
    return isinstance(value, torch.ScriptObject)


def _is_packed(tensor: Tensor) -> bool:
    """Return whether a buffer holds quantised weights."""
    if tensor.dim() < 2 or not (tensor.is_quantized or tensor.dtype in PACKED):
        return False
    return tensor.is_quantized or not is_mask(tensor)


def is_mask(tensor: Tensor) -> bool:
    """Return whether all values are zeros and ones; without storage they are not known, and taken to be."""
    return tensor.is_meta or tensor.dtype == torch.bool or not bool(((tensor != 0) & (tensor != 1)).any())


@torch.no_grad()
def layer_tensors(layer: nn.Module, name: str = "") -> dict[str, LayerTensor]:
    """Return the tensors that a layer computes with, without those of its children and its buffers.

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


def is_wrapped(tensor: Tensor) -> bool:
    """Return whether a tensor only stands for others, as the quantised weights of torchao do."""
    return is_traceable_wrapper_subclass(tensor)


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
