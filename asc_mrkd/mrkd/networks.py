"""Anyone's network: without its wrappers, copied whole, its tensors by name.

A network may hold more than parameters and buffers: tensors that `weight_norm`, `spectral_norm` or `prune` compute and
leave on a layer, buffers that `forward` makes, lists of weights that a GRU keeps. A copy of the object has all of them,
where copying tensors by name would not.
"""

import copy
import itertools
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves, tree_map_only

from asc_mrkd.errors import ModelError, first_line

State = dict[str, Tensor]

SAME_NETWORK = "build the network as it was when the state was saved"
"""Hint for a state of another network."""

NORMALISATIONS = (nn.modules.batchnorm._NormBase,)
"""Layers with running statistics: batch and instance normalisation."""


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside torch.compile and (distributed) data-parallel wrappers."""
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        return unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)  # as torch.compile names it
    if compiled is None:
        return model
    return unwrap(compiled)


def compiler_of(model: nn.Module) -> Callable[[nn.Module], nn.Module] | None:
    """Return a function that compiles a network as torch.compile did this one; None if it is not compiled.

    Networks of one architecture share the compiled program.
    """
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        return compiler_of(model.module)
    settings = getattr(model, "dynamo_ctx", None)  # as torch.compile names it
    if settings is None:
        return None
    compiled: Any = type(model)
    return lambda network: compiled(network, settings)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU for a network without any."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")


def require_one_device(model: nn.Module) -> None:
    """Refuse a network that lies on several devices: a copy of it would be brought together on the first one.

    Raises:
        ModelError: with a tensor on another device than the first one.
    """
    device = device_of(model)
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if tensor.device != device:
            raise ModelError(
                f"the model lies on several devices: '{name}' is on {tensor.device}, and other tensors are on {device}",
                f"move it to one: model.to('{device}')",
            )


def copy_input(x: Any, device: torch.device) -> Any:
    """Return a copy of an input on a device: a network may write to its input, which other networks see as well.

    >>> x = {"x": torch.zeros(2)}
    >>> copied = copy_input(x, torch.device("cpu"))
    >>> copied["x"] += 1
    >>> x["x"]
    tensor([0., 0.])
    """
    return tree_map_only(Tensor, lambda tensor: tensor.to(device, non_blocking=True, copy=True), x)


def copy_network(model: nn.Module) -> nn.Module:
    """Return a copy of the network inside its wrappers that shares no tensor with it.

    Raises:
        ModelError: a layer has no weights yet (it is lazy and was never run), or holds something that cannot be
            copied; the layer is named.

    >>> network = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(4, 3)))
    >>> x = network(torch.ones(2, 4))
    >>> torch.equal(copy_network(network)(torch.ones(2, 4)), x)
    True
    """
    network = unwrap(model)
    require_weights(network)
    try:
        copied = _deep_copy(network)
    except Exception as error:
        place, culprit = _find_uncopyable(network)
        raise ModelError(
            f"layer '{place}' ({type(culprit).__name__}) cannot be copied: {first_line(error)}",
            "keep locks, files and generators outside the network; for old norms there are successors in "
            "torch.nn.utils.parametrizations",
        ) from error
    for layer in copied.modules():
        if isinstance(layer, nn.RNNBase):
            layer.flatten_parameters()  # a copy has its weights in several places, which a GPU is slow with
    return copied


def require_weights(network: nn.Module) -> None:
    """Refuse a network with a lazy layer that was never run.

    Raises:
        ModelError: the layer is named.
    """
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            layer = name.rpartition(".")[0]
            raise ModelError(
                f"layer '{layer}' ({type(network.get_submodule(layer)).__name__}) has no weights yet",
                "run the network on one batch first: model(x)",
            )


def _deep_copy(network: nn.Module) -> nn.Module:
    """Copy a module; tensors with a history, which deepcopy refuses, are copied without it."""
    copies: dict[int, Any] = {}
    for layer in network.modules():
        for value in tree_leaves(vars(layer)):
            if isinstance(value, Tensor) and not value.is_leaf:
                copies[id(value)] = value.detach().clone()
    copied = copy.deepcopy(network, copies)
    for layer in copied.modules():
        hooks: Any
        for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
            for key, hook in hooks.items():
                hooks[key] = _rebind(hook, copies)
    return copied


def _rebind(function: Any, copies: dict[int, Any]) -> Any:
    """Return a function that refers to the copies of objects where it refers to the objects.

    `deepcopy` leaves functions as they are: a hook that keeps features in the network would keep them in the original.

    Args:
        function: hook of a layer; other callables than plain functions are returned as they are.
        copies: copies by the identity of the originals.
    """
    if not isinstance(function, FunctionType):
        return function
    inner = tuple(_rebind_cell(cell, copies) for cell in function.__closure__ or ())
    defaults = tuple(copies.get(id(value), value) for value in function.__defaults__ or ())
    rebound = FunctionType(function.__code__, function.__globals__, function.__name__, defaults, inner)
    rebound.__kwdefaults__ = function.__kwdefaults__
    return rebound


def _rebind_cell(cell: CellType, copies: dict[int, Any]) -> CellType:
    """Return a cell with the copy of what is in a cell; the cell itself if that is not copied, or nothing is in it.

    >>> empty = CellType()
    >>> _rebind_cell(empty, {}) is empty
    True
    """
    try:
        content = cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return cell
    return CellType(copies[id(content)]) if id(content) in copies else cell


def _find_uncopyable(network: nn.Module) -> tuple[str, nn.Module]:
    """Return the name of the innermost layer that cannot be copied, and the layer."""
    for name, layer in reversed(list(network.named_modules())):
        try:
            _deep_copy(layer)
        except Exception:
            return name, layer
    return "", network


def state_of(model: nn.Module) -> State:
    """Return all tensors of a network by name: parameters and buffers, those left out of state_dict too.

    Raises:
        ModelError: a lazy layer has no weights yet.
    """
    require_weights(model)
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


@torch.no_grad()
def write_state(network: nn.Module, state: State) -> None:
    """Copy tensors by name into a network; a buffer of another shape is replaced, one that is missing is added.

    Raises:
        ModelError: a tensor is not one of this network, or a weight has another shape.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for name, tensor in state.items():
        if name in parameters:
            if parameters[name].shape != tensor.shape:
                raise ModelError(
                    f"'{name}' is {tuple(tensor.shape)} in the saved state and {tuple(parameters[name].shape)} here",
                    SAME_NETWORK,
                )
            parameters[name].copy_(tensor)
        else:
            _write_buffer(network, name, tensor)


def _write_buffer(network: nn.Module, name: str, tensor: Tensor) -> None:
    layer, _, buffer = name.rpartition(".")
    try:
        buffers = network.get_submodule(layer)._buffers
    except AttributeError:
        raise ModelError(f"'{name}' of the saved state is not in this network", SAME_NETWORK) from None
    here = buffers.get(buffer)
    if here is not None and here.shape == tensor.shape:
        here.copy_(tensor)
    else:
        buffers[buffer] = tensor.to(device_of(network)).clone()


@torch.no_grad()
def blend_networks(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Replace the weights of `average` by decay * average + (1 - decay) * network.

    The running statistics of normalisation are averaged as the weights are. All other buffers are copied: an average
    of counts, of pruning masks or of the vectors of a spectral norm is not one.
    """
    averaged: State = dict(average.named_parameters(remove_duplicate=False))
    for name, layer in average.named_modules(remove_duplicate=False):
        if isinstance(layer, NORMALISATIONS):
            averaged |= {f"{name}.{key}".removeprefix("."): value for key, value in layer.named_buffers(recurse=False)}
    done: set[int] = set()
    others: State = {}
    for name, tensor in state_of(network).items():
        old = averaged.get(name)
        if old is None or not old.is_floating_point():
            others[name] = tensor
        elif id(old) not in done:  # tied weights have several names
            old.lerp_(tensor, 1 - decay)
            done.add(id(old))
    write_state(average, others)
