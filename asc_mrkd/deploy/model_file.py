"""The model file: one .safetensors with the weights of a network and everything needed to use it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from asc_mrkd.config.domain import IMAGES, SCENES, Domain
from asc_mrkd.deploy.description import (
    BUILD_ERRORS,
    KEY,
    Architecture,
    Description,
    parse_description,
    require_own_network,
)
from asc_mrkd.errors import AscMrkdError, ConfigError, DamagedFileError, ModelError, first_line
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer
from asc_mrkd.models import build_model, build_network, without_storage
from asc_mrkd.own_code import find_allowed
from asc_mrkd.runs import SeedFolder, find_model


@dataclass(frozen=True)
class ModelFile:
    """A trained network, with everything needed to use it."""

    model: nn.Module
    """The network, in evaluation mode, on the CPU."""
    architecture: dict[str, Any]
    """`name`, `num_classes` and `options` of `build_model`; of a network in a user's file also `code`, its SHA-256."""
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
        RunError: no model was found, it is not the one whose checksum the run folder has, or its seed folder was copied
            from another run.
        DamagedFileError: the file is damaged, or another program wrote it.
        MissingExtraError: the file is .onnx, and onnxruntime is not installed.
        ModelError: the network is made by a Python file of a user, which `allow_code` has not allowed to run.

    Example:
        file = load_model("exp/ce")
        logits = file.model(file.normalise(spectrograms))  # (batch, channel, mel, frame) to (batch, class)
    """
    path = find_model(path)
    SeedFolder(path.parent).require_own()
    if path.suffix == ".onnx":
        from asc_mrkd.deploy.onnx_file import load_onnx  # only now: onnxruntime is an extra

        return load_onnx(path)
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = description.pop("sha256")
        found = _checksum(tensors, description)
    except (SafetensorError, OSError, KeyError, AttributeError, *BUILD_ERRORS) as error:
        reason = f"it has no description '{KEY}'" if isinstance(error, KeyError) else first_line(error)
        raise DamagedFileError(
            f"{path} is not a model file, or is damaged: {reason}",
            "asc-mrkd train writes RUN/seed0/model.safetensors",
        ) from None
    if found != expected:
        raise DamagedFileError(f"{path} is damaged: its content does not have its checksum", "train or copy it again")
    require_own_network(path)
    read = parse_description(description, path)
    return assemble(read, _build_with(read, tensors, path))


def _build_with(read: Description, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """Build the network and put the weights in.

    It is first built without memory, so that a description that does not belong to the weights asks for none.

    Raises:
        DamagedFileError: the network cannot be built, or has other weights.
    """
    architecture = read.architecture
    hint = "train or copy it again"
    build = _find_builder(architecture, path)
    try:
        place = without_storage() if architecture.code is None else torch.device("cpu")
        with place, torch.random.fork_rng(devices=[]):
            expected = build().state_dict()
    except (AscMrkdError, *BUILD_ERRORS) as error:
        raise DamagedFileError(f"{path}: its network cannot be built: {first_line(error)}", hint) from None
    if {name: tensor.shape for name, tensor in expected.items()} != {n: t.shape for n, t in tensors.items()}:
        differing = [name for name in {**expected, **tensors} if _shape(expected, name) != _shape(tensors, name)]
        message = f"its weights are not those of {architecture.name} with the options in it, first {differing[0]}"
        raise DamagedFileError(f"{path}: {message}", hint)
    for name, tensor in tensors.items():
        is_real = expected[name].is_floating_point()
        if tensor.dtype != (getattr(torch, read.dtype) if is_real else expected[name].dtype):
            raise DamagedFileError(f"{path}: {name} is stored as {tensor.dtype}", hint)
        if not tensor.isfinite().all():
            raise DamagedFileError(f"{path}: {name} has values that are not finite", hint)
    # Without gradients: otherwise a norm leaves a weight with a history on its layer, which deepcopy refuses.
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model = build()
    model.load_state_dict(tensors)
    return model


def _find_builder(architecture: Architecture, path: Path) -> Callable[[], nn.Module]:
    """Return the function that builds a network; one in a user's file only if the user has allowed that file.

    Raises:
        ModelError: the file was not allowed, or has another content.
    """
    if architecture.code is None:
        return partial(build_model, architecture.name, architecture.num_classes, **architecture.options)
    try:
        code = find_allowed(architecture.code, architecture.name)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}", error.hint) from None
    name = f"{code.file}:{code.name}"
    return partial(build_network, name, architecture.num_classes, **architecture.options)


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


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


def assemble(read: Description, model: nn.Module) -> ModelFile:
    """Return the model file of a description and its network."""
    return ModelFile(
        model=model.eval(),
        architecture=read.architecture.as_written(),
        classes=read.classes,
        input_shape=tuple(read.input_shape),
        mean=np.array(read.mean, dtype=np.float32),
        std=np.array(read.std, dtype=np.float32),
        frontend=read.frontend,
        dtype=read.dtype,
    )


def _as_stored(name: str, tensor: Tensor, dtype: str) -> Tensor:
    """Return a tensor in the form of the file: on the CPU, contiguous, of that type where it is real.

    It is a copy: safetensors refuses tensors that share memory, as tied weights do.
    """
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
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
