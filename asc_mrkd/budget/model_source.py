"""From the words of a user to a network: a file, a run folder, a Python function, or an untrained network by name."""

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asc_mrkd.budget.forward import watch_forward
from asc_mrkd.errors import DamagedFileError, ModelError, first_line
from asc_mrkd.models import MODELS, build_model, require_buildable, without_storage
from asc_mrkd.own_code import code_digest, importable, run_file
from asc_mrkd.runs import find_model
from asc_mrkd.schema import parse_call

OTHER_FILES = "for a file of another program: file.py:function, a function that returns the network with its weights"
"""Hint for weights of which it is not known how they are computed with."""

WRAPPERS = {"_orig_mod": "torch.compile", "module": "DataParallel"}
"""Names in front of the weights of a wrapped network, and the wrappers."""

DEFAULT_CLASSES = 10
"""Number of classes of a network by name, unless it is given."""


def resolve_model(source: str | os.PathLike[str]) -> tuple[nn.Module | Path, tuple[int, ...] | None]:
    """Return the network that `source` names and the shape (channel, mel, frame) of its input.

    `source` is one of
    - a model file, a seed or run folder: the network as it is stored there;
    - an .onnx file, or a folder with one: its path instead of a network, without a shape;
    - `path/to/file.py:function`, called without arguments: the network that it returns, without a shape. The file is
      run, so it must be one's own;
    - `name:option=value,...`: an untrained network of `asc_mrkd.models.MODELS`, all of whose values are one: many
      start at zero, and a rule that leaves zeros out must not reward that.

    Raises:
        ConfigError, ModelError: unknown network or option, or the function does not return a network.
        RunError, DamagedFileError: the file or folder cannot be used.
    """
    text = str(source)
    function = re.fullmatch(r"(.+\.py)(?::(\w+))?", text)
    if function and not Path(text).is_dir():
        return call_network_function(Path(function[1]), function[2]), None
    name = text.partition(":")[0]
    if Path(source).exists() or "/" in name or Path(name).suffix:
        return _load_stored(Path(source))
    return _build_untrained(text)


def fill_with_ones(model: nn.Module) -> nn.Module:
    """Set every parameter of an untrained network, and its running statistics, to one; return the network."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
        for layer in model.modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
                layer.running_mean.fill_(1.0)
    return model


def _load_stored(source: Path) -> tuple[nn.Module | Path, tuple[int, ...] | None]:
    from asc_mrkd.deploy.model_file import load_model  # only now: an untrained network needs no front end

    path = find_model(source)
    if path.suffix == ".onnx":
        return path, None
    try:
        file = load_model(path)
    except DamagedFileError as error:
        raise DamagedFileError(str(error), f"{error.hint}; {OTHER_FILES}") from None
    network = file.model.to(getattr(torch, file.dtype))  # in the type in which the file has its values
    return network, file.input_shape


def call_network_function(path: Path, name: str | None) -> nn.Module:
    """Run a Python file and return the network that one of its functions makes.

    Raises:
        ModelError: the file or function is missing, it fails, or it does not return a network.
    """
    hint = f"write {path}:function, a function without arguments that returns a torch.nn.Module"
    if name is None:
        raise ModelError(f"{path} needs the name of the function that makes the network", hint)
    if not path.is_file():
        raise ModelError(f"there is no file {path}", hint)
    try:
        module = run_file(path.resolve(), code_digest(path))
        function = getattr(module, name, None)
        with importable(path.parent):
            network = function() if callable(function) else None
    except (Exception, SystemExit) as error:
        message, advice = explain_failure(error)
        raise ModelError(f"{path}:{name} failed: {message}", advice or hint) from error
    if isinstance(network, nn.Module):
        return network
    if callable(function):
        raise ModelError(f"{path}: {name} returned {type(network).__name__}", hint)
    raise ModelError(f"{path} has no function {name}", hint)


def explain_failure(error: BaseException) -> tuple[str, str]:
    """Return an error of a network's function in one line, and a hint where its weights have other names.

    >>> explain_failure(RuntimeError('Error(s):\\n Missing key(s) in state_dict: "a", "b".'))
    ("RuntimeError: Error(s): missing 'a'", '')
    """
    text = str(error)
    faults = []
    for word in ("Missing", "Unexpected"):
        found = re.search(rf'{word} key\(s\) in state_dict: "([^"]*)"', text)
        if found:
            faults.append(f"{word.lower()} '{found[1]}'")
    size = re.search(r"size mismatch for .*", text)
    if size:
        faults.append(size[0])
    message = " ".join([first_line(error), ", ".join(faults)]).strip()
    prefix = re.search(r'Unexpected key\(s\) in state_dict: "((?:(?:_orig_mod|module)\.)+)', text)
    if prefix is None:
        return message, ""
    wrappers = " and ".join(dict.fromkeys(WRAPPERS[part] for part in prefix[1].split(".") if part))
    return message, (
        f"the names start with '{prefix[1]}', which {wrappers} adds; take it off: "
        f"{{name.removeprefix('{prefix[1]}'): tensor for name, tensor in state.items()}}"
    )


def _build_untrained(call: str) -> tuple[nn.Module, tuple[int, ...]]:
    name, options = parse_call(call)
    arguments = {"num_classes": DEFAULT_CLASSES, **options}
    with without_storage():
        require_buildable(build_model(name, **arguments), name)
    model = fill_with_ones(build_model(name, **arguments))
    entry = MODELS[name]
    channels = options.get("in_channels", entry.defaults["in_channels"])
    return model, (channels, *entry.plane)


@dataclass(frozen=True)
class NetworkSize:
    """A network by name, with the size of its published configuration."""

    name: str
    summary: str
    parameters: int
    multiply_adds: int
    """Multiply-adds of one input of `input_shape`."""
    input_shape: tuple[int, int, int]
    """Shape of the usual input: (channel, mel, frame) or (channel, height, width)."""
    receptive_field: int | None
    """Maximal receptive field in bins and frames; None if the network does not report it."""
    options: dict[str, Any]
    """Options with their defaults."""
    ram: int
    """Largest number of bytes of activations that are alive at once, in int8; a runtime takes at least as many."""


@functools.cache
def network_sizes() -> tuple[NetworkSize, ...]:
    """Return every network of `asc_mrkd.models.MODELS`, counted with ten classes and without storage for its values.

    >>> next(size.parameters for size in network_sizes() if size.name == "resnet20")
    269722
    """
    sizes = []
    for name, entry in MODELS.items():
        with without_storage():
            model = build_model(name, DEFAULT_CLASSES)
        forward = watch_forward(model, entry.input_shape)
        sizes.append(
            NetworkSize(
                name=name,
                summary=entry.summary,
                parameters=sum(parameter.numel() for parameter in model.parameters()),
                multiply_adds=sum(forward.multiply_adds.values()),
                input_shape=entry.input_shape,
                receptive_field=getattr(model, "receptive_field", None),
                options=entry.defaults,
                ram=forward.trace.memory("int8").peak,
            )
        )
    return tuple(sizes)
