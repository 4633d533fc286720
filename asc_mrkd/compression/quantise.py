"""Quantisation of a network to int8, calibrated on training samples."""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import quiet, read_description, save_onnx, write_onnx
from asc_mrkd.deploy.onnx_session import INPUT, import_libraries
from asc_mrkd.engine.data.samples import Samples
from asc_mrkd.errors import ModelError

CALIBRATION_SAMPLES = 64
"""Number of training samples that the quantiser sees."""


def save_int8(path: Path, file: ModelFile, train: Samples) -> None:
    """Write a network as int8 ONNX, calibrated on some training samples, whole or not at all.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: the network is an .onnx file already.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        save_onnx(source, file)
        quantise_onnx(source, path, spread_inputs(train, CALIBRATION_SAMPLES))


def spread_inputs(samples: Samples, count: int, batch: int = 1) -> Iterator[np.ndarray]:
    """Yield up to `count` normalised inputs, float32, evenly over the set, as (batch, channel, height, width)."""
    positions = np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))
    for start in range(0, len(positions), batch):
        chosen = torch.from_numpy(positions[start : start + batch])
        yield samples.normalise(samples.gather(chosen)).cpu().numpy()


def quantise_onnx(source: Path, out: Path, batches: Iterable[np.ndarray]) -> None:
    """Write `source`, float32, in int8: weights per output channel, activations per tensor, biases in int32.

    Quantisation is static, in the form of QuantizeLinear and DequantizeLinear pairs (QDQ), which onnxruntime and the
    compilers of most boards take. The range of an activation is from its least to its largest value (`MinMax`) over
    the calibration inputs.

    Args:
        source: file that `save_onnx` wrote.
        out: file to write, whole or not at all; it takes over the description of `source`.
        batches: normalised inputs (batch, *input_shape), float32, to calibrate with; around a hundred samples suffice.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        ModelError: there are no batches.
    """
    onnx, tools, shapes = import_libraries(
        "int8", "onnx", "onnxruntime.quantization", "onnxruntime.quantization.shape_inference"
    )
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        quantised = Path(folder) / "int8.onnx"
        shapes.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        tools.quantize_static(
            prepared,
            quantised,
            _calibration_reader(tools.CalibrationDataReader, batches),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
            extra_options={"QDQKeepRemovableActivations": _has_clip_without_zero(onnx.load(prepared))},
        )
        write_onnx(out, onnx.load(quantised), read_description(onnx.load(source)))


def _has_clip_without_zero(model: Any) -> bool:
    """Return whether a Clip has a lower bound above zero or an upper bound below zero.

    onnxruntime takes a Clip or a Relu away because the range of its quantised output bounds the values too. That range
    always holds zero, so a bound beyond zero would be lost.
    """
    (helper,) = import_libraries("int8", "onnx.numpy_helper")
    constants = {tensor.name: helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Clip":
            low, high = [constants.get(name, 0) for name in [*node.input, "", ""][1:3]]
            if low > 0 or high < 0:
                return True
    return False


def _calibration_reader(base: Any, batches: Iterable[np.ndarray]) -> Any:
    """Return the inputs in the form that onnxruntime calibrates with; `base` is its class for them.

    Raises:
        ModelError: there are no inputs.
    """
    feeds = ({INPUT: batch.astype(np.float32, copy=False)} for batch in batches)
    first = next(feeds, None)
    if first is None:
        raise ModelError("int8 needs inputs to calibrate with and got none")
    remaining = chain([first], feeds)

    class Reader(base):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(remaining, None)

    return Reader()
