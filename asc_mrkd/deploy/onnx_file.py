"""The model file of a board: the network as ONNX, in float32 or int8, with its description in the metadata."""

import hashlib
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asc_mrkd.deploy.model_file import KEY, ModelFile, describe, from_description
from asc_mrkd.errors import DamagedFileError, MissingExtraError, ModelError, first_line
from asc_mrkd.files import atomic_writer
from asc_mrkd.models.cp_resnet import DampedConv2d


def require(purpose: str, *libraries: str) -> list[Any]:
    """Import libraries of the extra `deploy`.

    Raises:
        MissingExtraError: one is not installed.
    """
    try:
        return [import_module(name) for name in libraries]
    except ImportError as error:
        names = " and ".join(dict.fromkeys(name.partition(".")[0] for name in libraries))
        raise MissingExtraError(
            f"{purpose} needs {names}: {first_line(error)}", "pip install 'asc-mrkd[deploy]'"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of exporter and quantiser, which are about themselves, from the screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


INPUT, OUTPUT = "input", "logits"
OPSET = 18
"""The lowest that torch's exporter writes without converting."""
CHECKSUM = re.compile(rb'"sha256": "([0-9a-f]{64})"')
BLANK = b"0" * 64
"""Stands where the checksum goes while the checksum is computed."""


class OnnxNetwork(nn.Module):
    """A network that onnxruntime runs on the CPU, with as many threads as torch; it has no parameters to train."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self.input_shape = tuple(session.get_inputs()[0].shape[1:])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map normalised inputs (batch, *input_shape) to logits (batch, class), float32.

        Raises:
            ModelError: the input has another shape.
        """
        if tuple(x.shape[1:]) != self.input_shape:
            expected, found = (" x ".join(map(str, shape)) for shape in (self.input_shape, x.shape[1:]))
            raise ModelError(f"the .onnx network takes inputs of {expected}, not {found}")
        (logits,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(x.float().cpu().numpy())})
        return torch.from_numpy(logits).to(x.device)


def save_onnx(path: Path, file: ModelFile) -> None:
    """Write the network as float32 ONNX from `input`, normalised, (batch, *input_shape), to `logits` (batch, class).

    The batch is free, the rest of the shape is fixed. Damped convolutions become plain ones with the damped weight,
    and batch normalisation goes into the convolution before it where there is one.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: the network is an .onnx file already.
    """
    if isinstance(file.model, OnnxNetwork):
        raise ModelError("the network is an .onnx file already", "export the .safetensors file of the run")
    require("writing an .onnx file", "onnx", "onnxscript")
    network = _without_damping(file.model).cpu().float().eval()
    example = torch.zeros(2, *file.input_shape)  # of 2: torch.export takes a batch of 1 for a fixed one
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
    assert program is not None
    _write(path, program.model_proto, describe(replace(file, dtype="float32")))


def load_onnx(path: Path) -> ModelFile:
    """Read an .onnx file that `save_onnx` or `quantise_onnx` wrote.

    A file that another tool has changed no longer has its checksum; it is accepted once `sha256` is taken out of the
    JSON in its metadata.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DamagedFileError: it is not whole, or not one of ours.
    """
    (runtime,) = require("reading an .onnx file", "onnxruntime")
    data = path.read_bytes()
    found = CHECKSUM.search(data)
    if found and found[1] != _checksum(data):
        raise DamagedFileError(f"{path} is damaged: its content does not have its checksum", "export or copy it again")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        description = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
        return from_description(description, OnnxNetwork(session), path)
    except Exception as error:  # onnxruntime has a dozen unrelated exceptions for a file that it cannot take
        reason = f"it has no description '{KEY}'" if isinstance(error, KeyError) else first_line(error)
        raise DamagedFileError(
            f"{path} is no .onnx file of asc-mrkd or is damaged: {reason}", "asc-mrkd export writes one"
        ) from None


def quantise_onnx(source: Path, out: Path, batches: Iterable[np.ndarray]) -> None:
    """Write `source`, float32, in int8: weights per output channel, activations per tensor, biases in int32.

    Quantisation is static, in the form of QuantizeLinear and DequantizeLinear pairs (QDQ), which onnxruntime and the
    compilers of most boards take. The range of an activation is from its least to its largest value (`MinMax`) over
    the calibration inputs.

    Args:
        source: what `save_onnx` wrote.
        out: written whole or not at all; takes over the description of `source`.
        batches: normalised inputs (batch, *input_shape), float32, to calibrate with; around a hundred samples will do.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        ModelError: there are no batches.
    """
    onnx, tools, shapes = require(
        "int8", "onnx", "onnxruntime.quantization", "onnxruntime.quantization.shape_inference"
    )
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        shapes.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        tools.quantize_static(
            prepared,
            quantised,
            _reader(tools.CalibrationDataReader, batches),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
        )
        text = next(entry.value for entry in onnx.load(source).metadata_props if entry.key == KEY)
        _write(out, onnx.load(quantised), json.loads(text))


def _reader(base: Any, batches: Iterable[np.ndarray]) -> Any:
    """Return the inputs in the form that onnxruntime calibrates with; `base` is its class for them.

    Raises:
        ModelError: there are none.
    """
    feeds = ({INPUT: batch.astype(np.float32, copy=False)} for batch in batches)
    first = next(feeds, None)
    if first is None:
        raise ModelError("int8 needs inputs to calibrate with and got none")
    rest = chain([first], feeds)

    class Reader(base):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(rest, None)

    return Reader()


def _write(path: Path, model: Any, description: dict[str, Any]) -> None:
    """Write an ONNX model with its description and a checksum of the whole file, and without the exporter's notes."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    text = json.dumps({**description, "sha256": BLANK.decode()})
    model.metadata_props.add(key=KEY, value=text)
    data = model.SerializeToString()
    with atomic_writer(path) as stream:
        stream.write(CHECKSUM.sub(b'"sha256": "%s"' % _checksum(data), data, count=1))


def _checksum(data: bytes) -> bytes:
    """Return the SHA-256, in hexadecimal digits, of a file whose own checksum is blank."""
    return hashlib.sha256(CHECKSUM.sub(b'"sha256": "%s"' % BLANK, data, count=1)).hexdigest().encode()


def _without_damping(model: nn.Module) -> nn.Module:
    """Return a copy whose damped convolutions are plain ones with the damped weight."""
    plain = deepcopy(model)
    for layer in plain.modules():
        if isinstance(layer, DampedConv2d):
            with torch.no_grad():
                layer.weight.mul_(layer.damper)
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]
    return plain
