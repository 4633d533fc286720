"""What the nodes of an ONNX graph multiply, as torchinfo or as NeSsi counts it (see `count_onnx`)."""

from math import prod
from typing import Any, Literal, NamedTuple

from asc_mrkd.complexity.onnx_graph import Graph, window

MacRule = Literal["torchinfo", "nessi"]


class Operator(NamedTuple):
    """An operator with weights: which of its inputs they are, and how often they are multiplied."""

    times: Literal["positions", "once", "steps"]
    weights: tuple[int, ...]
    bias: int | None = None


OPERATORS: dict[str, Operator] = {
    "Conv": Operator("positions", (1,), 2),
    "ConvTranspose": Operator("positions", (1,), 2),
    "ConvInteger": Operator("positions", (1,)),
    "QLinearConv": Operator("positions", (3,), 8),
    "Gemm": Operator("once", (0, 1), 2),
    "QGemm": Operator("once", (0, 3), 6),
    "MatMul": Operator("once", (0, 1)),
    "MatMulInteger": Operator("once", (0, 1)),
    "QLinearMatMul": Operator("once", (0, 3)),
    "BatchNormalization": Operator("once", (1,), 2),
    **{name: Operator("steps", (1, 2), 3) for name in ("LSTM", "GRU", "RNN")},
}
POOLS = {"MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"}
MEANS = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "QLinearGlobalAveragePool"}
SUMS = {"Add", "Sum", "QLinearAdd"}
FLATTENING = {"Flatten", "Reshape", "Squeeze"}
KEEPING = ("QuantizeLinear", "DequantizeLinear", "Relu", "Cast", "Identity", "Dropout")
"""Operators between the flattening and a dense layer that keep what is flattened."""


def count_products(graph: Graph, node: Any, macs: MacRule) -> int:
    """Return the multiply-adds of one node for a batch of one.

    Raises:
        ModelError: a shape is not known.
    """
    operator, is_batch_norm = OPERATORS.get(node.op_type), node.op_type == "BatchNormalization"
    if operator is None:
        return _weightless(graph, node) if macs == "nessi" else 0
    inputs = [node.input[position] for position in operator.weights if position < len(node.input)]
    weights = [value for value in inputs if graph.is_constant(value)]
    if not weights:
        return 0
    values = sum(prod(graph.shape(value)) for value in weights)
    if operator.bias is not None and (macs == "torchinfo" or is_batch_norm):
        values += sum(prod(graph.shape(value)) for value in node.input[operator.bias : operator.bias + 1] if value)
    if operator.times == "positions":
        return values * prod(graph.shape(node.output[0])[2:])
    if operator.times == "steps":
        return values * graph.shape(node.input[0])[0]
    return _of_flattened(graph, node, values) if macs == "nessi" and not is_batch_norm else values


def _weightless(graph: Graph, node: Any) -> int:
    if node.op_type in POOLS:
        return prod(graph.shape(node.output[0])[1:]) * window(node)
    if node.op_type in MEANS:
        return prod(graph.shape(node.input[0])[1:])
    terms = node.input[::3][:2] if node.op_type == "QLinearAdd" else node.input
    if node.op_type in SUMS and not any(map(graph.is_constant, terms)):
        return (len(terms) - 1) * prod(graph.shape(node.output[0])[1:])
    return 0


def _of_flattened(graph: Graph, node: Any, products: int) -> int:
    """Return the products of a dense layer, those of one position only where a plane was flattened before it."""
    flattening = graph.before(node.input[0], KEEPING)
    if flattening is None or flattening.op_type not in FLATTENING:
        return products
    shape, values = graph.shape(flattening.input[0]), graph.shape(node.input[0])[-1]
    if len(shape) < 3 or prod(shape[1:]) != values:
        return products
    plane = graph.before(flattening.input[0], KEEPING)
    channels = shape[-1] if plane is not None and plane.op_type == "Transpose" else shape[1]
    return products // values * channels
