"""The .tflite file: a network for LiteRT and TensorFlow Lite Micro, in float32, or in int8 from input to output."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import plain_copy, quiet, random_inputs, require_same
from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.errors import ModelError, first_line
from asc_mrkd.exports.parity_check import run_tflite
from asc_mrkd.files import atomic_writer

LIBRARIES = (
    "litert_torch",
    "ai_edge_quantizer.quantizer",
    "ai_edge_quantizer.recipe",
    "ai_edge_litert.interpreter",
    "ai_edge_litert.tools.flatbuffer_utils",
)
"""Modules of the extra `tflite` that write a file and run it."""

SIGNATURE = "serving_default"
"""Name of the function in a file, as litert-torch calls it."""

CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
"""Operators that the quantiser puts around those that it leaves in float32."""

LARGEST_ARENA = 2**28
"""Bytes of the arena in which TensorFlow Lite Micro is asked how much it takes."""

MICRO = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).print_allocations()
"""
"""Program that prints the arena of a file. It runs in a separate process, because the runtime prints from C++."""


def import_tflite() -> list[Any]:
    """Import `LIBRARIES`.

    Raises:
        MissingExtraError: one is not installed.
    """
    return import_libraries("an export to tflite", *LIBRARIES, extra="tflite")


def save_tflite(path: Path, file: ModelFile, calibration: Sequence[np.ndarray] = ()) -> None:
    """Write a network as .tflite, from one normalised input (1, *input_shape) to its logits (1, class).

    Damped convolutions become plain ones with the damped weight, and batch normalisation goes into the convolution
    before it where there is one.

    Args:
        path: the file.
        file: the network.
        calibration: normalised inputs (1, *input_shape), float32, to calibrate int8 with; none for float32. int8 has
            weights per output channel, activations per tensor, biases in int32, input and output in int8.

    Raises:
        MissingExtraError: a library of the extra `tflite` is not installed.
        ModelError: the network has an operator that .tflite or int8 does not have, which is named, or that is converted
            wrongly.
    """
    converter, *_ = import_tflite()
    network = plain_copy(file.model)
    x = random_inputs(file.input_shape, 2)
    with _silence(), torch.no_grad():
        try:
            content = converter.convert(network, (torch.zeros(1, *file.input_shape),)).model_content()
        except RuntimeError as error:  # the exceptions of torch.export and of the converter
            raise _cannot_be_converted(error) from error
        require_same(run_tflite(content, x), network(torch.from_numpy(x)).numpy())
        if calibration:
            content = _quantise(content, calibration)
    with atomic_writer(path) as stream:
        stream.write(content)


def _cannot_be_converted(error: RuntimeError) -> ModelError:
    """Return the error for a network that the converter does not take, with the operator that it names, if any."""
    hint = "replace it in the network by other operators"
    operator = re.search(r"Lowering not found: ([\w.]+)", str(error))
    if operator:
        return ModelError(f"the network has the operator {operator[1]}, which .tflite does not have", hint)
    return ModelError(f"the network cannot be written as .tflite: {first_line(error)}", hint)


def _quantise(content: bytes, calibration: Sequence[np.ndarray]) -> bytes:
    """Return a float32 file in int8."""
    _, quantizer, recipe, interpreter, flatbuffers = import_tflite()
    (name,) = interpreter.Interpreter(model_content=content).get_signature_list()[SIGNATURE]["inputs"]
    tool = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    ranges: dict[str, dict[str, np.ndarray]] = {}
    for x in calibration:  # one by one: of several, the tool averages the ranges, which cuts off the largest values
        found = tool.calibrate({SIGNATURE: [{name: x}]}, num_threads=torch.get_num_threads())
        ranges = {tensor: _widest(ranges.get(tensor, new), new) for tensor, new in found.items()}
    quantised = tool.quantize(ranges, enable_progress_report=False).quantized_model
    # From 256 KiB on the tool puts the weights behind the graph. TensorFlow Lite Micro does not find them there, and
    # takes memory for them that nobody writes. So they go back into the graph.
    quantised = bytes(flatbuffers.convert_object_to_bytearray(flatbuffers.read_model_from_bytearray(quantised)))
    left = _operators_in_float32(quantised)
    if left:
        raise ModelError(
            f"the network has operators that .tflite does not have in int8: {', '.join(left)}",
            "export it in float32, or replace them in the network",
        )
    return quantised


def _widest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the range that holds two ranges of a tensor."""
    return {"min": np.minimum(one["min"], other["min"]), "max": np.maximum(one["max"], other["max"])}


def _operators_in_float32(content: bytes) -> list[str]:
    """List the operators of a file that read or write float32."""
    _, _, _, interpreter, _ = import_tflite()
    opened = interpreter.Interpreter(
        model_content=content,
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    real = {tensor["index"] for tensor in opened.get_tensor_details() if tensor["dtype"] == np.float32}
    names = set()
    for operator in opened._get_ops_details():
        if real.intersection(operator["inputs"]) or real.intersection(operator["outputs"]):
            names.add(operator["op_name"])
    return sorted(names - CONVERSIONS)


@contextmanager
def _silence() -> Iterator[None]:
    """Hide what the libraries print: from Python on both streams, from C++ on the descriptor of stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as sink, quiet(), redirect_stdout(sink), redirect_stderr(sink):
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def measure_arena(path: Path) -> tuple[int | None, str]:
    """Return the bytes of the arena that TensorFlow Lite Micro takes for a file, or None and the reason in a sentence.

    The arena holds the activations as its planner places them, and the structures of the interpreter.
    """
    if find_spec("tflite_micro") is None:
        return None, "tflite-micro is not installed"
    command = [sys.executable, "-c", MICRO, str(path), str(LARGEST_ARENA)]
    printed = subprocess.run(command, capture_output=True, text=True).stderr
    arena = re.search(r"Arena allocation total (\d+) bytes", printed)
    if arena:
        return int(arena[1]), ""
    operator = re.search(r"find op for builtin opcode '(\w+)'", printed)
    if operator:
        return None, f"TensorFlow Lite Micro does not have the operator {operator[1]}"
    return None, "TensorFlow Lite Micro does not run it"
