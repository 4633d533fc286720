"""The model file: one .safetensors with the weights of a network and everything needed to use it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from asc_mrkd.config.domain import IMAGES, SCENES, Domain
from asc_mrkd.errors import DamagedFileError, ModelError, first_line
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer
from asc_mrkd.models import build_model
from asc_mrkd.runs import find_model
from asc_mrkd.schema import parse

KEY = "asc_mrkd"
"""Name of the description in the metadata of a file."""


@dataclass(frozen=True)
class ModelFile:
    """A trained network, with everything needed to use it."""

    model: nn.Module
    """The network, in evaluation mode, on the CPU."""
    architecture: dict[str, Any]
    """`name`, `num_classes` and `options` of `build_model`."""
    classes: list[str]
    """Class names in the order of the logits."""
    input_shape: tuple[int, ...]
    """Shape of one input: (channel, mel, frame) or (channel, height, width)."""
    mean: np.ndarray
    """Mean of the training inputs, float32: (1, mel, 1) in dB, or (channel, 1, 1) in 0..255."""
    std: np.ndarray
    """Standard deviation of the training inputs, shaped as `mean`."""
    frontend: FrontendSpec | None
    """Front end of the spectrograms; None for images."""
    dtype: Literal["float32", "float16"] = "float32"
    """Type in which floating-point values are stored. The network computes in float32."""

    @property
    def domain(self) -> Domain:
        """Scenes or images."""
        return IMAGES if self.frontend is None else SCENES

    def normalise(self, x: np.ndarray) -> Tensor:
        """Return inputs (..., *input_shape) with zero mean and unit deviation, float32, as in training."""
        return normalise(torch.from_numpy(x), torch.from_numpy(self.mean), torch.from_numpy(self.std))


def normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return inputs with zero mean and unit deviation, float32; `mean` and `std` are broadcast over them."""
    return (x.float() - mean) / std


def save_model(path: Path, file: ModelFile) -> None:
    """Write a model file, whole or not at all.

    Raises:
        ModelError: a value is too large for float16.
    """
    tensors = {name: _as_stored(name, tensor, file.dtype) for name, tensor in file.model.state_dict().items()}
    description = describe(file)
    text = json.dumps({**description, "sha256": _checksum(tensors, description)})
    with atomic_writer(path) as stream:
        stream.write(safetensors.torch.save(tensors, metadata={KEY: text}))


def load_model(path: str | Path) -> ModelFile:
    """Read a model file, or that of a seed or run folder (its lowest seed).

    Raises:
        RunError: there is no model.
        DamagedFileError: the file is damaged, or another program wrote it.
        MissingExtraError: the file is .onnx, and onnxruntime is not installed.

    Example:
        file = load_model("exp/ce")
        logits = file.model(file.normalise(spectrograms))  # (batch, channel, mel, frame) to (batch, class)
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
            f"{path} is not a model file, or is damaged: {first_line(error)}",
            "asc-mrkd train writes RUN/seed0/model.safetensors",
        ) from None
    if _checksum(tensors, description) != expected:
        raise DamagedFileError(f"{path} is damaged: its content does not have its checksum", "train or copy it again")
    architecture = description["architecture"]
    model = build_model(architecture["name"], architecture["num_classes"], **architecture["options"])
    model.load_state_dict(tensors)
    return from_description(description, model, path)


def describe(file: ModelFile) -> dict[str, Any]:
    """Return everything except the weights, as plain values for JSON."""
    description = {
        "format": 2,
        "architecture": file.architecture,
        "classes": file.classes,
        "input_shape": list(file.input_shape),
        "mean": file.mean.tolist(),
        "std": file.std.tolist(),
        "frontend": None if file.frontend is None else file.frontend.model_dump(),
    }
    if file.dtype != "float32":
        description["dtype"] = file.dtype
    return description


def from_description(description: dict[str, Any], model: nn.Module, path: Path) -> ModelFile:
    """Rebuild a model file from the result of `describe` and its network; an error message names `path`."""
    frontend = None
    if description["frontend"] is not None:
        frontend = parse(FrontendSpec, description["frontend"], str(path))
    return ModelFile(
        model=model.eval(),
        architecture=description["architecture"],
        classes=description["classes"],
        input_shape=tuple(description["input_shape"]),
        mean=np.array(description["mean"], dtype=np.float32),
        std=np.array(description["std"], dtype=np.float32),
        frontend=frontend,
        dtype=description.get("dtype", "float32"),
    )


def _as_stored(name: str, tensor: Tensor, dtype: str) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    stored = tensor.to(getattr(torch, dtype))
    if not stored.isfinite().all():
        raise ModelError(f"{name} has a value that is too large for {dtype}", "keep the model in float32")
    return stored


def _checksum(tensors: dict[str, Any], description: dict[str, Any]) -> str:
    return digest([dict(sorted(tensors.items())), json.dumps(description, sort_keys=True)])


def digest(tree: Any) -> str:
    """Return the SHA-256 of nested dicts, lists, tensors and plain values.

    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
    True
    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.ones(2)})
    False
    """
    checksum = hashlib.sha256()
    _feed(checksum, tree)
    return checksum.hexdigest()


def _feed(checksum: Any, tree: Any) -> None:
    if isinstance(tree, Tensor):
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
