"""An ONNX graph, float32 or int8 as quantised here, as a chain of layers with arrays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.errors import ModelError

PURPOSE = "writing C code"

FLATTENING = ("Reshape", "Flatten", "Squeeze")
"""Operators that may make a vector of an activation, and change nothing else."""


@dataclass
class Activation:
    """A value between two layers, for a batch of one."""

    shape: tuple[int, ...]
    """Shape without the batch."""
    scale: float | None = None
    """Size of a step where it is stored as int8; None for float32."""
    zero: int = 0
    """Whole number that stands for zero where it is stored as int8."""

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Layer:
    """One node that computes."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    """Activations that it reads."""
    output: str
    arrays: tuple[np.ndarray, ...] = ()
    """Constants behind its activations, in their order, with an empty array for an input that is left out; int8 weights
    and int32 biases where it is quantised."""
    scales: tuple[np.ndarray | None, ...] = ()
    """Scales of these arrays; None for real numbers."""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Network:
    """A graph with one input and one output."""

    input: str
    output: str
    activations: dict[str, Activation]
    layers: list[Layer]
    """Layers in the order of execution."""


def read_network(model: Any) -> Network:
    """Read an `onnx.ModelProto` that `save_onnx` or `quantise_onnx` wrote.

    The pairs QuantizeLinear and DequantizeLinear become the scales of weights and activations.
    """
    return _Reader(model).read()


class _Reader:
    """Reader of one graph."""

    def __init__(self, model: Any) -> None:
        inference, helper, arrays = import_libraries(
            PURPOSE, "onnx.shape_inference", "onnx.helper", "onnx.numpy_helper"
        )
        self._attribute = helper.get_attribute_value
        shaped = type(model)()
        shaped.CopyFrom(model)
        shaped.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        graph = inference.infer_shapes(shaped, data_prop=True).graph
        self._graph = graph
        self._shapes = {
            value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self._constants = {tensor.name: arrays.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = arrays.to_array(self._attribute(node.attribute[0]))
        self._scales: dict[str, np.ndarray] = {}
        self._names: dict[str, str] = {}
        self._activations: dict[str, Activation] = {}

    def read(self) -> Network:
        """Return the network."""
        layers = []
        source = self._graph.input[0].name
        self._activations[source] = Activation(self._shapes[source][1:])
        for node in self._graph.node:
            if node.op_type == "Constant":
                continue
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                self._note_scale(node)
            elif node.op_type in FLATTENING:
                self._note_vector(node)
            else:
                layers.append(self._layer(node))
        output = self._graph.output[0].name
        return Network(source, self._names.get(output, output), self._activations, layers)

    def _note_scale(self, node: Any) -> None:
        """Note the scale of a constant or of an activation, and that the output is another name of it."""
        source, scale, *zero = node.input
        output = node.output[0]
        if source in self._constants:
            self._constants[output] = self._constants[source]
            self._scales[output] = self._constants[scale]
            return
        own = self._names.get(source, source)
        self._names[output] = own
        self._activations[own].scale = float(self._constants[scale])
        self._activations[own].zero = int(self._constants[zero[0]]) if zero else 0

    def _note_vector(self, node: Any) -> None:
        """Note that the output of a node, a vector, is another name of its input."""
        own = self._names.get(node.input[0], node.input[0])
        if own not in self._activations or self._shapes.get(node.output[0]) != (1, self._activations[own].size):
            raise _not_known(node)
        self._names[node.output[0]] = own

    def _layer(self, node: Any) -> Layer:
        constants = [name for name in node.input if name in self._constants or not name]
        inputs = tuple(self._names.get(name, name) for name in node.input if name and name not in self._constants)
        if node.input[0] in constants or any(name not in self._activations for name in inputs):
            raise _not_known(node)
        output = node.output[0]
        self._activations[output] = Activation(self._shapes.get(output, (0, 0))[1:])
        return Layer(
            name=node.name or output,
            operator=node.op_type,
            inputs=inputs,
            output=output,
            arrays=tuple(self._constants.get(name, np.empty(0)) for name in constants),
            scales=tuple(self._scales.get(name) for name in constants),
            attributes={attribute.name: self._attribute(attribute) for attribute in node.attribute},
        )


def _not_known(node: Any) -> ModelError:
    return ModelError(
        f"{node.name or node.output[0]} is the operator {node.op_type}, which the C code does not have",
        "export with --to onnx",
    )
