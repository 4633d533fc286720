"""The ONNX file: a network for other programs and for boards, with its description in the metadata."""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asc_mrkd.deploy.description import KEY, pack_arrays, parse_description, unpack_arrays
from asc_mrkd.deploy.frontend_graph import add_frontend
from asc_mrkd.deploy.model_file import ModelFile, assemble, describe
from asc_mrkd.deploy.onnx_session import BLANK, CHECKSUM, INPUT, OUTPUT, OnnxSession, checksum, import_libraries
from asc_mrkd.errors import DamagedFileError, ModelError, first_line
from asc_mrkd.files import atomic_writer
from asc_mrkd.models.cp_resnet import DampedConv2d
from asc_mrkd.mrkd.networks import copy_network
from asc_mrkd.rng import generator


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings of the exporter and the quantiser, which do not concern the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


OPSET = 18
"""Lowest version of the operators that torch's exporter writes without conversion."""


TOLERANCE = 1e-4
"""Largest difference of a logit in float32, as a share of the largest logit, or of 1 if that is smaller."""


class OnnxNetwork(nn.Module):
    """Network that onnxruntime runs on the CPU, with as many threads as torch; it cannot be trained."""

    def __init__(self, session: OnnxSession) -> None:
        super().__init__()
        self._session = session

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map normalised inputs (batch, *input_shape) to logits (batch, class), float32.

        Raises:
            ModelError: the input has another shape.
        """
        return torch.from_numpy(self._session.run(x.float().cpu().numpy())).to(x.device)


def save_onnx(path: Path, file: ModelFile) -> None:
    """Write the network as float32 ONNX from `input`, normalised, (batch, *input_shape), to `logits` (batch, class).

    The batch is free, the rest of the shape is fixed. Damped convolutions become plain ones with the damped weight,
    and batch normalisation goes into the convolution before it where there is one.

    Raises:
        MissingExtraError: onnx, onnxruntime or onnxscript is not installed.
        ModelError: the network is an .onnx file already, or ONNX lacks one of its operators or computes something else.
    """
    if isinstance(file.model, OnnxNetwork):
        raise ModelError("the network is an .onnx file already", "export the model.safetensors of the run")
    _, runtime, _ = import_libraries("writing an .onnx file", "onnx", "onnxruntime", "onnxscript")
    network = plain_copy(file.model)
    example = torch.zeros(2, *file.input_shape)  # a batch of 2: torch.export would fix a batch of 1
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except RuntimeError as error:  # the exceptions of the exporter
        raise _cannot_be_written(error) from error
    assert program is not None
    x = random_inputs(file.input_shape, 3)
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        require_same(session.run(None, {INPUT: x})[0], network(torch.from_numpy(x)).numpy())
    write_onnx(path, program.model_proto, describe_with_arrays(replace(file, dtype="float32")))


def random_inputs(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return random inputs (count, *shape) as if normalised, the same in every call."""
    return generator("export").standard_normal((count, *shape), dtype=np.float32)


def require_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Refuse a network in float32 whose logits are not those of the trained one.

    Raises:
        ModelError: they differ by more than `TOLERANCE` allows.
    """
    difference = float(np.abs(found - expected).max())
    if difference > TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"the exported network computes something else: logits differ by up to {difference:.3g}",
            "an operator of the network is converted wrongly, as by torch avg_pool2d with divisor_override; replace it",
        )


def _cannot_be_written(error: BaseException) -> ModelError:
    """Return the error for a network that torch cannot write, with the operator that it names, if it names one."""
    hint = "replace it in the network by operators of ONNX"
    cause: BaseException | None = error
    while cause is not None:
        operator = re.search(r"OpOverload\(op='([\w.]+)', overload='(\w+)'\)", str(cause))
        if operator:
            name = f"{operator[1]}.{operator[2]}"
            return ModelError(f"the network has the operator {name}, which ONNX does not have", hint)
        cause = cause.__cause__
    return ModelError(f"the network cannot be written as ONNX: {first_line(error)}", hint)


def save_float16(path: Path, source: Path) -> None:
    """Write a float32 file of `save_onnx` with weights and activations in float16; input and output stay float32.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    onnx, float16 = import_libraries("float16", "onnx", "onnxruntime.transformers.float16")
    model = onnx.load(source)
    description = read_description(model)
    with quiet():
        half = float16.convert_float_to_float16(model, keep_io_types=True)
    write_onnx(path, half, {key: value for key, value in description.items() if key != "sha256"})


def save_with_frontend(path: Path, source: Path) -> None:
    """Write a file of `save_onnx`, in any precision, with its front end before it and a softmax behind it.

    Raises:
        MissingExtraError: onnx is not installed.
        DamagedFileError: the source has no arrays of a front end.
    """
    (onnx,) = import_libraries("a front end in ONNX", "onnx")
    model = onnx.load(source)
    written = {key: value for key, value in read_description(model).items() if key != "sha256"}
    description = parse_description(written, source)
    if description.frontend is None or description.arrays is None:
        raise DamagedFileError(f"{source} has no front end", "export it again")
    add_frontend(model, description, unpack_arrays(description.arrays, description.frontend))
    write_onnx(path, model, written | {"takes_samples": True})


def describe_with_arrays(file: ModelFile) -> dict[str, Any]:
    """Return the description of a network with the arrays of its front end, for programs that cannot compute them."""
    if file.frontend is None:
        return describe(file)
    from asc_mrkd.features.filterbank import compute_arrays, librosa_filterbank

    arrays = compute_arrays(file.frontend, librosa_filterbank(file.frontend))
    return describe(file) | {"arrays": pack_arrays(arrays)}


def load_onnx(path: Path) -> ModelFile:
    """Read an .onnx file that `write_onnx` wrote; see `OnnxSession`.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DamagedFileError: the file is damaged, or another program wrote it.
        ModelError: the graph takes samples instead of spectrograms.
    """
    session = OnnxSession(path, torch.get_num_threads())
    if session.description.takes_samples:
        raise ModelError(
            f"{path} has its front end in it and takes samples, not spectrograms",
            "asc-mrkd predict takes it; elsewhere give the export without --with-frontend",
        )
    return assemble(session.description, OnnxNetwork(session))


def write_onnx(path: Path, model: Any, description: dict[str, Any]) -> None:
    """Write an ONNX model, whole or not at all, with its description and a checksum of the whole file.

    Notes of the exporter are left out.

    Args:
        path: the file.
        model: an `onnx.ModelProto`; it is changed.
        description: see `describe`.
    """
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    text = json.dumps({**description, "sha256": BLANK.decode()})
    model.metadata_props.add(key=KEY, value=text)
    data = model.SerializeToString()
    with atomic_writer(path) as stream:
        stream.write(CHECKSUM.sub(b'"sha256": "%s"' % checksum(data), data, count=1))


def read_description(model: Any) -> dict[str, Any]:
    """Return the description in an `onnx.ModelProto` that `write_onnx` wrote."""
    return json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))


def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy to convert: float32, on the CPU, with damped convolutions as plain ones with the damped weight.

    Raises:
        ModelError: the network holds something that cannot be copied.
    """
    plain = copy_network(model)
    for layer in plain.modules():
        if isinstance(layer, DampedConv2d):
            with torch.no_grad():
                layer.weight.mul_(layer.damper)
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]
    return plain.cpu().float().eval()
