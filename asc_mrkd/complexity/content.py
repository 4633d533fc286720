"""What a layer really holds: masks applied, parametrisations worked out, packed weights opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from asc_mrkd.errors import ModelError


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
