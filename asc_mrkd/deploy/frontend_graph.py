"""A front end as ONNX nodes, in front of a network: samples in, probabilities out.

The transform is the operator STFT (opset 17). All else is arithmetic: power, logarithm, floor, a matrix product with
the filters, normalisation. It stays in float32, also before a network in int8 or float16: the power of a spectrum spans
more than these hold.
"""

from typing import Any

import numpy as np

from asc_mrkd.deploy.description import Description
from asc_mrkd.deploy.onnx_session import INPUT, OUTPUT, PROBABILITIES, SAMPLES, import_libraries
from asc_mrkd.features.filterbank import AMIN, DB_PER_NEPER, FrontendArrays
from asc_mrkd.features.spec import FrontendSpec

FEATURES = "features"
"""Name of the value with the features, (batch, channel, mel, frame), before normalisation."""

PREFIX = "frontend."
"""Start of the names of all other values, so that they differ from those of the network."""


class _Nodes:
    """Collector of nodes and constants."""

    def __init__(self) -> None:
        helper, arrays = import_libraries("a front end in ONNX", "onnx.helper", "onnx.numpy_helper")
        self._make_node = helper.make_node
        self._from_array = arrays.from_array
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"{PREFIX}constant{len(self.constants)}"
        self.constants.append(self._from_array(np.asarray(value, dtype), name))
        return name

    def whole(self, *values: int) -> str:
        """Add a constant of whole numbers and return its name."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"{PREFIX}{operator}{len(self.nodes)}"
        self.nodes.append(self._make_node(operator, inputs, [output], name=output, **attributes))
        return output


def add_frontend(model: Any, description: Description, arrays: FrontendArrays) -> None:
    """Put a front end, its normalisation and a softmax around a network.

    Args:
        model: an `onnx.ModelProto` from normalised features to logits; it is changed.
        description: its description, with a front end.
        arrays: arrays of that front end.
    """
    (helper,) = import_libraries("a front end in ONNX", "onnx.helper")
    spec = description.frontend
    assert spec is not None
    nodes = _Nodes()
    features = _add_features(nodes, spec, arrays)
    centred = nodes.add("Sub", features, nodes.constant(description.mean))
    nodes.add("Div", centred, nodes.constant(description.std), output=INPUT)
    graph = model.graph
    network = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend([*nodes.nodes, *network])
    graph.node.append(helper.make_node("Softmax", [OUTPUT], [PROBABILITIES], name=PROBABILITIES, axis=-1))
    graph.initializer.extend(nodes.constants)
    shape = ["batch", spec.channels, spec.samples]
    graph.input.append(helper.make_tensor_value_info(SAMPLES, 1, shape))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, 1, ["batch", len(description.classes)]))


def _add_features(nodes: _Nodes, spec: FrontendSpec, arrays: FrontendArrays) -> str:
    """Add the nodes from samples (batch, channel, sample) to features and return the name of the features."""
    spectrum = _add_spectrum(nodes, spec, arrays.window)
    if spec.top_db is not None:
        spectrum = nodes.add("Log", nodes.add("Max", spectrum, nodes.constant(AMIN)))
        loudest = nodes.add("ReduceMax", spectrum, nodes.whole(1, 2), keepdims=1)
        least = nodes.add("Sub", loudest, nodes.constant(spec.top_db / DB_PER_NEPER))
        spectrum = nodes.add("Max", spectrum, least)
    filtered = nodes.add("MatMul", spectrum, nodes.constant(arrays.filters.T))
    shifted = nodes.add("Add", filtered, nodes.constant(arrays.offset[:, 0]))
    if spec.log_offset is not None:
        shifted = nodes.add("Log", nodes.add("Add", shifted, nodes.constant(spec.log_offset)))
    turned = nodes.add("Transpose", shifted, perm=[0, 2, 1])
    return nodes.add("Reshape", turned, nodes.whole(-1, *spec.shape), output=FEATURES)


def _add_spectrum(nodes: _Nodes, spec: FrontendSpec, window: np.ndarray) -> str:
    """Add the nodes from samples to power or magnitude (batch x channel, frame, bin)."""
    half = spec.n_fft // 2
    signals = nodes.add("Reshape", SAMPLES, nodes.whole(-1, spec.samples))
    padded = nodes.add("Pad", signals, nodes.whole(0, half, 0, half), mode="reflect")
    column = nodes.add("Unsqueeze", padded, nodes.whole(2))
    step = nodes.constant(spec.hop_length, np.int64)
    length = nodes.constant(spec.n_fft, np.int64)
    parts = nodes.add("STFT", column, step, nodes.constant(window), length, onesided=1)
    if not spec.last_frame:
        parts = nodes.add("Slice", parts, nodes.whole(0), nodes.whole(spec.frames), nodes.whole(1))
    power = nodes.add("ReduceSum", nodes.add("Mul", parts, parts), nodes.whole(3), keepdims=0)
    return power if spec.power == 2 else nodes.add("Sqrt", power)
