"""From what a user types to a network: a file, a run folder, a Python function, or the name of an untrained network."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asc_mrkd.errors import ModelError, first_line
from asc_mrkd.models import MODELS, build_model, parse_model_spec
from asc_mrkd.runs import find_model


def resolve_model(source: str | os.PathLike[str]) -> tuple[nn.Module | Path, tuple[int, ...] | None]:
    """Return the network that `source` names and the shape (channel, mel, frame) of its input.

    `source` is one of
    - a model file, a seed or run folder: the network as it is stored there;
    - an .onnx file, or a folder with one: its path instead of a network, without a shape;
    - `path/to/file.py:function`, called without arguments: the network that it returns, without a shape. The file is
      run, so it must be one's own;
    - `name:option=value,...`: an untrained network of the catalogue, all of whose values are one: many start at
      zero, and a rule that leaves zeros out must not reward that.

    Raises:
        ModelError: unknown network or option, or the function gives no network.
        RunError, DamagedFileError: the file or folder cannot be used.
    """
    text = str(source)
    function = re.fullmatch(r"(.+\.py)(?::(\w+))?", text)
    if function and not Path(text).is_dir():
        return network_of_function(Path(function[1]), function[2]), None
    name = text.partition(":")[0]
    if Path(source).exists() or "/" in name or Path(name).suffix:
        return _stored(Path(source))
    return _untrained(text)


def filled_with_ones(model: nn.Module) -> nn.Module:
    """Set every parameter of an untrained network, and its running statistics, to one; return the network."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
        for layer in model.modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
                layer.running_mean.fill_(1.0)
    return model


def _stored(source: Path) -> tuple[nn.Module | Path, tuple[int, ...] | None]:
    from asc_mrkd.deploy.model_file import load_model  # only now: an untrained network needs no front end

    path = find_model(source)
    if path.suffix == ".onnx":
        return path, None
    file = load_model(path)
    return file.model.to(getattr(torch, file.dtype)), file.input_shape


def network_of_function(path: Path, name: str | None) -> nn.Module:
    """Run a Python file and return the network that one of its functions makes.

    Raises:
        ModelError: no such file or function, it fails, or it returns something else.
    """
    hint = f"write {path}:function, a function without arguments that returns a torch.nn.Module"
    if name is None:
        raise ModelError(f"{path}: which function of it makes the network?", hint)
    if not path.is_file():
        raise ModelError(f"there is no file {path}", hint)
    module_name = f"_network_of_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported", hint)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # as an import does; dataclasses look themselves up there
    sys.path.insert(0, str(path.parent.resolve()))  # its neighbours, as when it is run
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        network = function() if callable(function) else None
    except Exception as error:
        raise ModelError(f"{path}:{name} failed: {first_line(error)}", hint) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
        del sys.modules[module_name]
    if isinstance(network, nn.Module):
        return network
    wrong = f"returned {type(network).__name__}" if callable(function) else "is no function of it"
    raise ModelError(f"{path}: {name} {wrong}", hint)


def _untrained(spec: str) -> tuple[nn.Module, tuple[int, ...]]:
    name, options = parse_model_spec(spec)
    model = filled_with_ones(build_model(name, **{"num_classes": 10, **options}))
    channels = next(model.parameters()).shape[1]
    return model, (channels, *MODELS[name].plane)
