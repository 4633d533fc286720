"""The model file: weights, and everything needed to use them, in one .safetensors."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from asc_mrkd.errors import DamagedFileError, ModelError, first_line
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer
from asc_mrkd.models import build_model
from asc_mrkd.runs import find_model
from asc_mrkd.schema import parse


def digest(tree: Any) -> str:
    """Return the SHA-256 of a nest of dicts, lists, tensors and plain values.

    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
    True
    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.ones(2)})
    False
    """
    checksum = hashlib.sha256()
    _feed(checksum, tree)
    return checksum.hexdigest()


def _feed(checksum: Any, tree: Any) -> None:
    if isinstance(tree, torch.Tensor):
        checksum.update(f"{tree.dtype}{tuple(tree.shape)}".encode())
        checksum.update(tree.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(tree, dict):
        for key, value in tree.items():
            checksum.update(f"{key!r}:".encode())
            _feed(checksum, value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            _feed(checksum, value)
            checksum.update(b",")
    else:
        checksum.update(repr(tree).encode())


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
        dtype: `float32` or `float16`, what floating-point values are stored as. The network computes in float32.
    """

    model: nn.Module
    architecture: dict[str, Any]
    classes: list[str]
    input_shape: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray
    frontend: FrontendSpec | None
    dtype: Literal["float32", "float16"] = "float32"


def save_model(path: Path, file: ModelFile) -> None:
    """Write a model file, whole or not at all.

    Raises:
        ModelError: a value is too large for float16.
    """
    tensors = {name: _stored(name, tensor, file.dtype) for name, tensor in file.model.state_dict().items()}
    description = describe(file)
    text = json.dumps({**description, "sha256": _checksum(tensors, description)})
    with atomic_writer(path) as stream:
        stream.write(safetensors.torch.save(tensors, metadata={KEY: text}))


def load_model(path: str | Path) -> ModelFile:
    """Read a model file, or that of a seed or run folder (its lowest seed).

    Raises:
        RunError: there is no model.
        DamagedFileError: it is not whole, or not one of ours.
        MissingExtraError: an .onnx file, and onnxruntime is not installed.
    """
    path = find_model(path)
    if path.suffix == ".onnx":
        from asc_mrkd.deploy.onnx_file import load_onnx  # only now: onnxruntime is an extra

        return load_onnx(path)
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
    return from_description(description, model, path)


def describe(file: ModelFile) -> dict[str, Any]:
    """Return everything but the weights, as plain values for JSON."""
    description = {
        "format": 2,
        "architecture": file.architecture,
        "classes": file.classes,
        "input_shape": list(file.input_shape),
        "mean": file.mean.tolist(),
        "std": file.std.tolist(),
        "frontend": file.frontend and file.frontend.model_dump(),
    }
    return description if file.dtype == "float32" else {**description, "dtype": file.dtype}


def from_description(description: dict[str, Any], model: nn.Module, path: Path) -> ModelFile:
    """Return a network with what `describe` has said of it; `path` is named where that does not fit."""
    mean, std = (np.array(description[key], dtype=np.float32) for key in ("mean", "std"))
    return ModelFile(
        model=model.eval(),
        architecture=description["architecture"],
        classes=description["classes"],
        input_shape=tuple(description["input_shape"]),
        mean=mean,
        std=std,
        frontend=description["frontend"] and parse(FrontendSpec, description["frontend"], str(path)),
        dtype=description.get("dtype", "float32"),
    )


def _stored(name: str, tensor: torch.Tensor, dtype: str) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(getattr(torch, dtype))
    if not stored.isfinite().all():
        raise ModelError(f"{name} holds a value that {dtype} cannot", "keep the model in float32")
    return stored


def _checksum(tensors: dict[str, Any], description: dict[str, Any]) -> str:
    return digest([dict(sorted(tensors.items())), json.dumps(description, sort_keys=True)])
