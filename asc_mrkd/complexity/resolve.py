"""From what a user types to a network: a model file, a run folder, or the name of an untrained network."""

import os
from pathlib import Path

import torch
from torch import nn

from asc_mrkd.models import MODELS, build_model, parse_model_spec


def resolve_model(source: str | os.PathLike[str]) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the network that `source` names and the shape (channel, mel, frame) of its input.

    `source` is a model file, a seed or run folder, or `name:option=value,...`. The values of an untrained network
    are all set to one: many start at zero, and a rule that leaves zeros out must not reward that.

    Raises:
        ModelError: unknown network or option.
        RunError, DamagedFileError: the file or folder cannot be used.
    """
    name = str(source).partition(":")[0]
    if Path(source).exists() or "/" in name or Path(name).suffix:
        from asc_mrkd.engine.model_file import load_model  # only now: an untrained network needs no front end

        file = load_model(Path(source))
        return file.model, file.input_shape
    return _untrained(str(source))


def _untrained(spec: str) -> tuple[nn.Module, tuple[int, ...]]:
    name, options = parse_model_spec(spec)
    model = build_model(name, **{"num_classes": 10, **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    channels = next(model.parameters()).shape[1]
    return model, (channels, *MODELS[name].plane)
