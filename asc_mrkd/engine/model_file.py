"""The model file: weights, and everything needed to use them, in one .safetensors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import nn

from asc_mrkd.engine.digest import digest
from asc_mrkd.errors import DamagedFileError, RunError, first_line
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer
from asc_mrkd.models import build_model
from asc_mrkd.schema import parse

MODEL_FILE = "model.safetensors"
KEY = "asc_mrkd"


@dataclass(frozen=True)
class ModelFile:
    """A trained network and what it needs.

    Attributes:
        model: the network, in evaluation mode, on the CPU.
        architecture: `name`, `num_classes` and `options` of `build_model`.
        classes: class names in the order of the logits.
        input_shape: of one input: (channel, mel, frame) or (channel, height, width).
        mean: subtracted from an input and broadcast over it, float32: (1, mel, 1), or (channel, 1, 1) in 0..255.
        std: then divided by, shaped alike.
        frontend: what a spectrogram is made with; None for images.
    """

    model: nn.Module
    architecture: dict[str, Any]
    classes: list[str]
    input_shape: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray
    frontend: FrontendSpec | None


def save_model(path: Path, file: ModelFile) -> None:
    """Write a model file, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in file.model.state_dict().items()}
    description = {
        "format": 2,
        "architecture": file.architecture,
        "classes": file.classes,
        "input_shape": list(file.input_shape),
        "mean": file.mean.tolist(),
        "std": file.std.tolist(),
        "frontend": file.frontend and file.frontend.model_dump(),
    }
    text = json.dumps({**description, "sha256": _checksum(tensors, description)})
    with atomic_writer(path) as stream:
        stream.write(safetensors.torch.save(tensors, metadata={KEY: text}))


def load_model(path: str | Path) -> ModelFile:
    """Read a model file, or that of a seed or run folder (its lowest seed).

    Raises:
        RunError: there is no model.
        DamagedFileError: it is not whole, or not one of ours.
    """
    path = find_model(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = description.pop("sha256")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DamagedFileError(
            f"{path} is not a model file or is damaged: {first_line(error)}",
            "asc-mrkd train writes RUN/seed0/model.safetensors",
        ) from None
    if _checksum(tensors, description) != expected:
        raise DamagedFileError(f"{path} is damaged: its content does not have its checksum", "train or copy it again")
    architecture = description["architecture"]
    model = build_model(architecture["name"], architecture["num_classes"], **architecture["options"])
    model.load_state_dict(tensors)
    mean, std = (np.array(description[key], dtype=np.float32) for key in ("mean", "std"))
    frontend = description["frontend"] and parse(FrontendSpec, description["frontend"], str(path))
    shape = tuple(description["input_shape"])
    return ModelFile(model.eval(), architecture, description["classes"], shape, mean, std, frontend)


def find_model(path: Path) -> Path:
    """Return the model file that a file, a seed folder or a run folder stands for."""
    if path.is_file():
        return path
    seeds = sorted(path.glob("seed*/"), key=lambda p: (len(p.name), p.name))
    for folder in (path, *seeds):
        if (folder / MODEL_FILE).is_file():
            return folder / MODEL_FILE
    raise RunError(f"there is no trained model in {path}", "train one: asc-mrkd train CONF.yaml --out RUNDIR")


def _checksum(tensors: dict[str, Any], description: dict[str, Any]) -> str:
    return digest([dict(sorted(tensors.items())), json.dumps(description, sort_keys=True)])
