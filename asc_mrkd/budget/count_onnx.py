"""Counting an ONNX file, float or quantised: the values of its initialisers and the multiply-adds of its nodes."""

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from asc_mrkd.budget.count import LayerCount, Tally, Uncounted
from asc_mrkd.budget.memory import Operation, Trace, Value
from asc_mrkd.budget.rules import PRECISIONS
from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.errors import DamagedFileError, ModelError, first_line

PURPOSE = "counting an .onnx file"

BATCH_NORM = "BatchNormalization"
"""Operator of batch normalisation."""

STATISTICS = (3, 4)
"""Inputs of `BATCH_NORM` that are its running mean and variance, which are not parameters."""

MacRule = Literal["torchinfo", "nessi"]


def count_onnx(
    path: str | os.PathLike[str], precision: str | None = None, macs: MacRule = "torchinfo"
) -> list[LayerCount]:
    """Count every node of an ONNX file that has weights, in the order of the file, then the remaining parameters.

    A weight or bias counts as it is stored, behind the nodes that make it from initialisers (DequantizeLinear,
    Transpose, a mask), in the first node that takes it. Weights in a separate file count too. The scales and zero
    points of quantisation, axes, shapes, bounds and fill values count nothing. Any other initialiser of real numbers,
    such as a fixed input or the slope of a PReLU, has its own row of kind `initializer`. A value is zero where it is
    stored as 0.

    Multiply-adds are for a batch of one. `torchinfo` counts as for a torch network: a convolution takes its values,
    bias included, times the positions of its output, a dense layer or batch normalisation its values once, a recurrent
    layer once per step. `nessi` counts as NeSsi, the tool of 2022 and 2023, counts a TFLite file: without any bias.
    There pooling takes its outputs times its window, a mean its inputs and a sum of two activations its outputs, each
    in a row without parameters. A dense layer on a flattened (channel, height, width) takes its outputs times the
    channels alone, which is a quirk of that tool.

    Args:
        path: the file.
        precision: a key of `PRECISIONS` at which every value, quantised or not, is taken to be stored.
        macs: rule for the multiply-adds.

    Raises:
        MissingExtraError: onnx is not installed.
        DamagedFileError: the file is not a whole ONNX file.
        ModelError: control flow, sparse weights, or a shape that is not known for a batch of one.
    """
    return OnnxCounter(Path(path)).count(precision, macs)


class OnnxCounter:
    """Counter of one ONNX file.

    Raises:
        MissingExtraError, DamagedFileError, ModelError: for the reasons that `count_onnx` names.
    """

    def __init__(self, path: Path) -> None:
        self.graph = Graph(path)
        nodes = [node for node in self.graph.nodes if not self.graph.is_constant(node.output[0])]
        self._nodes = nodes
        self._unknown = {id(node) for node in nodes if not is_understood(self.graph, node)}

    def count(self, precision: str | None = None, macs: MacRule = "torchinfo") -> list[LayerCount]:
        """Count every node that has weights, in the order of the file, then the remaining parameters."""
        graph = self.graph
        taken: set[str] = set()
        rows = []
        for node in self._nodes:
            weights = _weights(graph, node)
            multiply_adds = self._count_multiply_adds(node, macs)
            if not weights and not multiply_adds:
                continue
            new = _take_new(weights, taken)
            statistics = []
            if node.op_type == BATCH_NORM:
                statistics = _take_new(_input_constants(graph, node, STATISTICS), taken)
            tally = _tally(graph, new, precision)
            dtypes = dict.fromkeys(precision or graph.constants[name].dtype.name for name in new)
            rows.append(
                LayerCount(
                    name=layer_name(weights[0]) if weights else node_name(node),
                    kind=node.op_type,
                    parameters=tally.values,
                    non_zero=tally.non_zero,
                    dtype="+".join(dtypes) or ("shared" if weights else ""),
                    bytes=tally.bytes,
                    non_zero_bytes=tally.non_zero_bytes,
                    multiply_adds=multiply_adds,
                    is_batch_norm=node.op_type == BATCH_NORM,
                    statistics=_tally(graph, statistics, precision),
                )
            )
        rest = [name for name in graph.constants if name not in taken and _is_parameter(graph, name)]
        return rows + [_initialiser_row(graph, name, precision) for name in rest]

    def _count_multiply_adds(self, node: Any, macs: MacRule) -> int:
        """Count one node; 0 if its shape cannot be known because of an operator that is not understood."""
        try:
            return count_node_multiply_adds(self.graph, node, macs)
        except ModelError:
            if not self._unknown:
                raise
            return 0

    def trace(self) -> Trace:
        """Return the nodes that compute, in their order, and the activations between them."""
        graph = self.graph
        trace = Trace(inputs=list(graph.inputs), outputs=list(graph.outputs))
        for node in self._nodes:
            if id(node) in self._unknown:
                trace.not_understood.append(f"{node_name(node)} is an operator that is not understood, {node.op_type}")
            reads = tuple(dict.fromkeys(name for name in node.input if not graph.is_constant(name)))
            writes = tuple(name for name in node.output if name)
            weights = _weights(graph, node)
            name = layer_name(weights[0]) if weights else node_name(node)
            try:
                trace.values |= {value: graph.activation(value) for value in (*reads, *writes)}
            except ModelError as error:
                trace.not_understood.append(str(error))
                continue
            effect = memory_effect(node, reads, writes, trace.values)
            trace.operations.append(Operation(name, node.op_type, reads, writes, effect))
        return trace

    def find_uncounted(self) -> list[Uncounted]:
        """List the operators that the counts leave out or that are not understood."""
        found = []
        for node in self._nodes:
            name = node_name(node)
            if id(node) in self._unknown:
                reason = f"is an operator that is not understood, {node.op_type}: its multiply-adds are not known"
                found.append(Uncounted(name, reason, None))
            elif node.op_type in OPERATORS:
                missing = _count_unseen(self.graph, node)
                if missing is None:
                    found.append(Uncounted(name, f"has a shape that is not known ({node.op_type})", None))
                elif missing:
                    reason = f"multiplies {missing:,} times more than torchinfo counts ({node.op_type})"
                    found.append(Uncounted(name, reason, missing))
        return found


def memory_effect(
    node: Any, reads: tuple[str, ...], writes: tuple[str, ...], values: Mapping[Any, Value]
) -> Literal["new", "view", "in_place"]:
    """Return what a node does with the memory of its input."""
    if len(reads) != 1 or not writes:
        return "new"
    if node.op_type in RENAMING:
        return "view"
    if node.op_type in ONE_BY_ONE and values[reads[0]].count == values[writes[0]].count:
        return "in_place"
    return "new"


def node_name(node: Any) -> str:
    """Return the name of a node; of one without a name that of its first output."""
    return node.name or node.output[0]


def is_understood(graph: "Graph", node: Any) -> bool:
    """Return whether the count of a node is right: it is in a table, or it has no weights and does not multiply."""
    if node.op_type in OPERATORS or node.op_type in STANDARD or node.op_type in PLAIN:
        return True
    if node.domain or node.op_type in MULTIPLYING:
        return False
    constants = {name for value in node.input if graph.is_constant(value) for name in graph.sources(value)}
    arrays = [graph.constants[name] for name in constants]
    return not any(array.ndim > 1 and array.dtype.name not in ("bool", "int64", "uint64") for array in arrays)


def _count_unseen(graph: "Graph", node: Any) -> int | None:
    """Return the products of a node that its count leaves out; None if a shape is not known.

    They are those of two activations, and those of a dense layer at every position but the first.
    """
    operator = OPERATORS[node.op_type]
    if operator.times == "steps" or node.op_type == BATCH_NORM:
        return 0
    inputs = [node.input[position] for position in operator.weights if position < len(node.input)]
    is_weighted = any(map(graph.is_constant, inputs))
    if operator.times == "positions" and is_weighted:
        return 0
    try:
        outputs = prod(graph.shape(node.output[0])[1:])
        if operator.times == "positions":
            return outputs * prod(graph.shape(inputs[0])[1:])
        first = graph.shape(node.input[0])
        is_turned = read_attribute(node, "transA", 0) and len(first) > 1
        products = prod(graph.shape(node.output[0])) * first[-2 if is_turned else -1]
        return max(0, products - count_node_multiply_adds(graph, node, "torchinfo"))
    except ModelError:
        return None


def read_attribute(node: Any, name: str, default: int) -> int:
    """Return a whole number among the attributes of a node."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _initialiser_row(graph: "Graph", name: str, precision: str | None) -> LayerCount:
    """Count a constant that is not the weight of a known operator."""
    tally = _tally(graph, [name], precision)
    return LayerCount(
        name=layer_name(name),
        kind="initializer",
        parameters=tally.values,
        non_zero=tally.non_zero,
        dtype=precision or graph.constants[name].dtype.name,
        bytes=tally.bytes,
        non_zero_bytes=tally.non_zero_bytes,
        multiply_adds=0,
        is_batch_norm=False,
    )


def _weights(graph: "Graph", node: Any) -> list[str]:
    """Return the constants that are weights or biases of a node."""
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return []
    bias = () if operator.bias is None else (operator.bias,)
    return _input_constants(graph, node, (*operator.weights, *bias))


def _input_constants(graph: "Graph", node: Any, positions: Iterable[int]) -> list[str]:
    """Return the constants behind some inputs of a node, without the settings among them."""
    inputs = [node.input[position] for position in positions if position < len(node.input)]
    names = [name for value in inputs if graph.is_constant(value) for name in graph.sources(value)]
    return [name for name in dict.fromkeys(names) if not graph.is_setting(name)]


def _take_new(names: list[str], taken: set[str]) -> list[str]:
    """Return the names that are not in `taken` yet, and add them."""
    new = [name for name in names if name not in taken]
    taken.update(new)
    return new


def _is_parameter(graph: "Graph", name: str) -> bool:
    """Return whether a constant outside of all weights counts; a scalar in a Constant node is arithmetic."""
    array = graph.constants[name]
    if graph.is_setting(name) or not (is_real(array) or graph.is_dequantised(name)):
        return False
    return name in graph.initialisers or array.ndim > 0


def layer_name(initialiser: str) -> str:
    """Return the name of the layer that an initialiser belongs to.

    >>> layer_name("stem.0.weight_quantized")
    'stem.0'
    """
    return initialiser.removesuffix("_quantized").removesuffix(".weight")


def _tally(graph: "Graph", names: list[str], precision: str | None) -> Tally:
    width = PRECISIONS[precision] if precision else None
    values = 0
    non_zero = 0
    size = 0
    non_zero_size = 0
    for name in names:
        array = graph.constants[name]
        nonzero_here = int(np.count_nonzero(array))
        values += array.size
        non_zero += nonzero_here
        size += stored_bytes(array, array.size, width)
        non_zero_size += stored_bytes(array, nonzero_here, width)
    return Tally(values, non_zero, size, non_zero_size)


class Operator(NamedTuple):
    """Operator with weights."""

    times: Literal["positions", "once", "steps"]
    """Number of multiplications of a weight: one per output position, one in all, or one per step."""
    weights: tuple[int, ...]
    """Inputs that may be weights."""
    bias: int | None = None
    """Input that is the bias."""


OPERATORS: dict[str, Operator] = {
    "Conv": Operator("positions", (1,), 2),
    "ConvTranspose": Operator("positions", (1,), 2),
    "FusedConv": Operator("positions", (1,), 2),
    "ConvInteger": Operator("positions", (1,)),
    "QLinearConv": Operator("positions", (3,), 8),
    "Gemm": Operator("once", (0, 1), 2),
    "FusedGemm": Operator("once", (0, 1), 2),
    "QGemm": Operator("once", (0, 3), 6),
    "MatMul": Operator("once", (0, 1)),
    "FusedMatMul": Operator("once", (0, 1)),
    "MatMulInteger": Operator("once", (0, 1)),
    "MatMulIntegerToFloat": Operator("once", (0, 1), 6),
    "DynamicQuantizeMatMul": Operator("once", (0, 1), 4),
    "QLinearMatMul": Operator("once", (0, 3)),
    BATCH_NORM: Operator("once", (1,), 2),
    **{name: Operator("steps", (1, 2), 3) for name in ("LSTM", "GRU", "RNN")},
}
"""Operators with weights, by name."""

PLAIN = {
    *("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Where", "Max", "Min", "Sum", "Mean", "Mod", "And", "Or", "Xor"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "IsNaN", "IsInf"),
    *("Concat", "Gather", "GatherElements", "GatherND", "Slice", "Split", "Reshape", "Transpose", "Squeeze"),
    *("Unsqueeze", "Flatten", "Expand", "Tile", "Pad", "Resize", "Upsample", "ScatterND", "ScatterElements"),
    *("Identity", "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Clip"),
    *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "Dropout"),
    *("SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
    *("NhwcMaxPool", "QLinearSoftmax", "QLinearReduceMean", "QLinearWhere"),
}
"""Operators that may take a constant of several dimensions and work on each value by itself."""

MOVING = {"Expand", "Slice", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Concat", "Tile", "Identity", "Cast"}
"""Operators that hand on the values of their first input."""

RENAMING = {
    *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Cast", "CastLike"),
    *("QuantizeLinear", "DequantizeLinear"),
}
"""Operators that give an activation another name, shape or type, which a device does not store a second time."""

ONE_BY_ONE = {
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish"),
    *("Mish", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "Clip", "Abs", "Neg", "Exp", "Log", "Sqrt", "Erf"),
    *("Reciprocal", "Floor", "Ceil", "Round", "Sign", "Not", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"),
    *("QLinearLeakyRelu", "QLinearSigmoid", "BatchNormalization"),
}
"""Operators on each value by itself, which may work in place where one activation alone goes in."""

MULTIPLYING = {
    *("Einsum", "Attention", "DeformConv", "DFT", "STFT", "Det", "AffineGrid"),
    *("LinearAttention", "CausalConvWithState"),
}
"""Operators of ONNX that multiply many values and are not counted."""

MICROSOFT = "com.microsoft"
"""Domain of the operators of onnxruntime; the tables here name them without it."""

STATES = (5, 6)
"""Inputs of a recurrent operator that are its initial state."""

POOLS = {"MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"}
"""Operators over a window, which NeSsi counts."""

MEANS = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "QLinearGlobalAveragePool"}
"""Operators over a plane, which NeSsi counts."""

SUMS = {"Add", "Sum", "QLinearAdd"}
"""Operators that add activations, which NeSsi counts."""

FLATTENING = {"Flatten", "Reshape", "Squeeze"}
"""Operators that make one axis of several."""

KEEPING = ("QuantizeLinear", "DequantizeLinear", "Relu", "Cast", "Identity", "Dropout")
"""Operators between the flattening and a dense layer that keep the shape."""


def count_node_multiply_adds(graph: "Graph", node: Any, macs: MacRule) -> int:
    """Count the multiply-adds of one node for a batch of one.

    Raises:
        ModelError: a shape is not known.
    """
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return _count_weightless(graph, node) if macs == "nessi" else 0
    inputs = [node.input[position] for position in operator.weights if position < len(node.input)]
    weights = [value for value in inputs if graph.is_constant(value)]
    if not weights:
        return 0
    is_batch_norm = node.op_type == BATCH_NORM
    values = sum(prod(graph.shape(value)) for value in weights)
    if operator.bias is not None and (macs == "torchinfo" or is_batch_norm):
        bias = node.input[operator.bias : operator.bias + 1]  # an optional input: missing, or without a name
        values += sum(prod(graph.shape(value)) for value in bias if value)
    if operator.times == "positions":
        return values * prod(graph.shape(node.output[0])[2:])
    if operator.times == "steps":
        return values * graph.shape(node.input[0])[read_attribute(node, "layout", 0)]
    if macs == "nessi" and not is_batch_norm:
        return _of_one_position(graph, node, values)
    return values


def _count_weightless(graph: "Graph", node: Any) -> int:
    """Count a pooling, a mean or a sum as NeSsi does."""
    if node.op_type in POOLS:
        return prod(graph.shape(node.output[0])[1:]) * pooling_window(node)
    if node.op_type in MEANS:
        return prod(graph.shape(node.input[0])[1:])
    terms = node.input[::3][:2] if node.op_type == "QLinearAdd" else node.input
    if node.op_type in SUMS and not any(map(graph.is_constant, terms)):
        return (len(terms) - 1) * prod(graph.shape(node.output[0])[1:])
    return 0


def _of_one_position(graph: "Graph", node: Any, multiply_adds: int) -> int:
    """Return the multiply-adds of a dense layer, reduced to one position if a plane was flattened before it."""
    flattening = graph.producer_through(node.input[0], KEEPING)
    if flattening is None or flattening.op_type not in FLATTENING:
        return multiply_adds
    shape = graph.shape(flattening.input[0])
    values = graph.shape(node.input[0])[-1]
    if len(shape) < 3 or prod(shape[1:]) != values:
        return multiply_adds
    plane = graph.producer_through(flattening.input[0], KEEPING)
    is_channels_last = plane is not None and plane.op_type == "Transpose"
    channels = shape[-1] if is_channels_last else shape[1]
    return multiply_adds // values * channels


def pooling_window(node: Any) -> int:
    """Return the number of values under the window of a pooling node."""
    return prod(next((attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"), [1]))


SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Clip", "Dropout", "OneHot"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (1, 2, 4, 5, 6, 7)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearLeakyRelu"), (1, 2, 3, 4)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "Upsample": (1,),
}
"""Inputs that are settings, by operator: scales and zero points, bounds, fill values, factors."""

NARROW_BITS = dict.fromkeys(("int4", "uint4", "float4_e2m1fn"), 4) | dict.fromkeys(("int2", "uint2"), 2)
"""Bits per value of the types that share a byte."""

STANDARD: dict[str, tuple[str, slice]] = {
    **{f"QLinear{op}": (op, slice(0, 4, 3)) for op in ("Add", "Mul")},
    **{f"QLinear{op}": (op, slice(1)) for op in ("GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid")},
    "QLinearConcat": ("Concat", slice(2, None, 3)),
    "QGemm": ("Gemm", slice(0, 7, 3)),
    "FusedConv": ("Conv", slice(3)),
    "FusedGemm": ("Gemm", slice(3)),
    **{op: ("MatMul", slice(2)) for op in ("FusedMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")},
    **{op: ("Relu", slice(1)) for op in ("Gelu", "FastGelu", "QuickGelu", "BiasGelu", "BiasSoftmax", "BiasDropout")},
}
"""Operators of onnxruntime alone: the ONNX operator with the same output shape, and the inputs it takes."""


class Graph:
    """Main graph of an ONNX model, for a batch of one.

    Raises:
        DamagedFileError: `path` is not a whole ONNX file.
        ModelError: the graph has parts that cannot be counted: control flow, sparse tensors.
    """

    def __init__(self, path: Path) -> None:
        self._model = _read_onnx(path)
        named = deepcopy(self._model.graph)
        _name_by_domain(named)
        self.nodes = list(named.node)
        """Nodes in the order of the file, which is an order of execution."""
        self.constants: dict[str, np.ndarray] = _read_constants(path, self._model.graph)
        """Arrays by name: initialisers first, then the values of `Constant` nodes."""
        self.initialisers = {tensor.name for tensor in self._model.graph.initializer}
        """Names of the constants that are initialisers."""
        self.producers = {name: node for node in self.nodes for name in node.output if node.op_type != "Constant"}
        """Node that makes a value; constants and inputs are left out."""
        self._consumers: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)
        for node in self.nodes:
            for position, name in enumerate(node.input):
                self._consumers[name].append((node, position))
        self.inputs = [value.name for value in self._model.graph.input if value.name not in self.initialisers]
        """Names of the inputs."""
        self.outputs = [value.name for value in self._model.graph.output]
        """Names of the outputs."""
        self._fixed = {*self.constants, ""}
        for node in self.nodes:
            if node.op_type == "Constant" or (node.input and self._fixed.issuperset(node.input)):
                self._fixed.update(node.output)
        self._facts: dict[str, Facts] | None = None
        self._has_run = False

    def is_setting(self, name: str) -> bool:
        """Return whether every node that takes a constant takes it as a setting: a scale, a bound, a fill value."""
        uses = self._consumers[name]
        is_single = self.constants[name].size == 1
        if uses and all(self._takes_setting(node, position, is_single) for node, position in uses):
            return True
        return not self.constants[name].any() and self._is_initial_state(name)

    def _is_initial_state(self, name: str) -> bool:
        """Return whether a constant reaches nothing but initial states of recurrent operators."""
        for node, position in self._consumers[name]:
            if node.op_type in MOVING and position == 0:
                if not self._is_initial_state(node.output[0]):
                    return False
            elif position not in STATES or OPERATORS.get(node.op_type, OPERATORS["Conv"]).times != "steps":
                return False
        return bool(self._consumers[name])

    def _takes_setting(self, node: Any, position: int, is_single: bool) -> bool:
        """Return whether a node takes a constant at a position, of a single value or of several, as a setting."""
        if node.op_type in SETTINGS:
            return position in SETTINGS[node.op_type]
        if node.op_type.startswith("QLinear") and is_single:
            return True
        return self._is_dynamic_scale(node)

    def _is_dynamic_scale(self, node: Any) -> bool:
        """Return whether a node multiplies the scale of a weight with the scale found for an activation."""
        makers = [self.producers.get(name) for name in node.input]
        return node.op_type == "Mul" and any(maker and maker.op_type == "DynamicQuantizeLinear" for maker in makers)

    def is_dequantised(self, name: str) -> bool:
        """Return whether a constant stands for real numbers by way of a scale."""
        return any(node.op_type == "DequantizeLinear" and position == 0 for node, position in self._consumers[name])

    def is_constant(self, name: str) -> bool:
        """Return whether a value depends on constants only."""
        return name in self._fixed

    def sources(self, name: str) -> Iterator[str]:
        """Yield the constants behind a constant value: its origin first, then the constants that change it.

        Of the latter only real numbers count (a mask, a factor), not the integers of axes and shapes.
        """
        maker = self.producers.get(name)
        if maker is None:
            if name in self.constants:
                yield name
            return
        for position, source in enumerate(maker.input):
            for found in self.sources(source):
                if position == 0 or is_real(self.constants[found]):
                    yield found

    def producer_through(self, name: str, through: tuple[str, ...]) -> Any:
        """Return the node that makes a value, skipping the operators in `through`; None for an input."""
        maker = self.producers.get(name)
        while maker is not None and maker.op_type in through:
            maker = self.producers.get(maker.input[0])
        return maker

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value for a batch of one.

        Raises:
            ModelError: more dimensions than the batch are free, or an operator is not one of ONNX.
        """
        if name in self.constants:
            return self.constants[name].shape
        shape = self._find_facts(name).shape
        known = tuple(size for size in shape if size is not None)
        if len(known) != len(shape):
            raise ModelError(
                f"the shape of '{name}' is not known for a batch of one, so that multiply-adds cannot be counted",
                "where more dimensions than the batch are free: python -m onnxruntime.tools.make_dynamic_shape_fixed "
                "--input_name NAME --input_shape 1,... IN.onnx OUT.onnx",
            )
        return known

    def activation(self, name: str) -> Value:
        """Return the size of an activation for a batch of one.

        Raises:
            ModelError: its shape or its type is not known.
        """
        count = prod(self.shape(name))
        dtype = self._find_facts(name).dtype
        if dtype is None:
            raise ModelError(f"the type of '{name}' is not known")
        is_index = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 1)
        return Value(count, dtype.itemsize, not is_index)

    def _find_facts(self, name: str) -> "Facts":
        if self._facts is None:
            self._facts = _infer_shapes(deepcopy(self._model))
        if None in self._facts.get(name, UNKNOWN).shape and not self._has_run:
            self._has_run = True
            self._facts |= _run_for_shapes(deepcopy(self._model))
        return self._facts.get(name, UNKNOWN)


class Facts(NamedTuple):
    """Shape and type of a value; a part that is not known is None."""

    shape: tuple[int | None, ...]
    dtype: np.dtype | None


UNKNOWN = Facts((None,), None)
"""Facts about a value of which nothing is known."""


def _name_by_domain(graph: Any) -> None:
    """Put the domain in front of every operator that is neither one of ONNX nor in a table of this module."""
    for node in graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
        is_listed = node.op_type.startswith("QLinear") or node.op_type in {*OPERATORS, *PLAIN, *STANDARD}
        if node.domain and not (node.domain == MICROSOFT and is_listed):
            node.op_type = f"{node.domain}.{node.op_type}"


def is_real(array: np.ndarray) -> bool:
    """Return whether an array holds real numbers, in floating point or quantised to at most 8 bits."""
    return array.dtype.name not in ("bool", "object") and (array.dtype.kind not in "iu" or array.dtype.itemsize == 1)


def stored_bytes(array: np.ndarray, count: int, width: int | None = None) -> int:
    """Return the bytes of `count` values of an array, at `width` bytes each or packed as its dtype is."""
    bits = 8 * width if width else NARROW_BITS.get(array.dtype.name, 8 * array.dtype.itemsize)
    return math.ceil(count * bits / 8)


def _read_onnx(path: Path) -> Any:
    (onnx,) = import_libraries(PURPOSE, "onnx")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise exceptions of many types, also for a missing file of weights
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: {first_line(error)}") from None
    if not model.graph.node:
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: it has no nodes")
    if model.functions:
        (inliner,) = import_libraries(PURPOSE, "onnx.inliner")
        model = inliner.inline_local_functions(model)
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        raise ModelError(
            f"{path} has control flow (If, Loop, Scan), which cannot be counted", "export the network without it"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{path} has sparse weights, which cannot be counted", "export the network without them")
    return model


def _read_constants(path: Path, graph: Any) -> dict[str, np.ndarray]:
    (helper,) = import_libraries(PURPOSE, "onnx.numpy_helper")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("sparse_tensor"):
                raise ModelError(f"{path} has sparse weights, which cannot be counted", "export it without them")
            elif attribute.HasField("t"):
                tensors[node.output[0]] = attribute.t
            elif attribute.name in ("value_float", "value_floats"):
                values = np.array(attribute.floats or attribute.f, np.float32)
                tensors[node.output[0]] = helper.from_array(values)
            elif attribute.name in ("value_int", "value_ints"):
                tensors[node.output[0]] = helper.from_array(np.array(attribute.ints or attribute.i, np.int64))
    try:
        return {name: helper.to_array(tensor) for name, tensor in tensors.items()}
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged: {first_line(error)}") from None


def _infer_shapes(model: Any) -> dict[str, Facts]:
    """Return the shapes and types of the values of `model`, which is changed on the way."""
    inference, defs, helper = import_libraries(PURPOSE, "onnx.shape_inference", "onnx.defs", "onnx.helper")
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for node in model.graph.node:
        if node.op_type in STANDARD:
            op_type, positions = STANDARD[node.op_type]
            inputs = node.input[positions]
            if node.op_type == "FusedMatMul" and any(a.i for a in node.attribute if a.name.startswith("trans")):
                continue  # its output has another shape
            known = defs.get_schema(op_type).attributes
            attributes = [attribute for attribute in node.attribute if attribute.name in known]
            node.op_type = op_type
            del node.input[:], node.attribute[:]
            node.input.extend(inputs)
            node.attribute.extend(attributes)
            node.domain = ""
    del model.graph.value_info[:]
    try:
        graph = inference.infer_shapes(model, data_prop=True).graph
    except inference.InferenceError:  # an operator with inputs or outputs that its definition does not know
        return {}
    facts = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type) if kind.elem_type else None
            facts[value.name] = Facts(shape, dtype)
    return facts


def _run_for_shapes(model: Any) -> dict[str, Facts]:
    """Return the shapes and types of all values that onnxruntime finds by running `model`, which is changed, on zeros.

    It knows more operators than the inference of shapes does. Nothing is found if more than the batch is free, or if
    the model does not run.
    """
    runtime, onnx = import_libraries(PURPOSE, "onnxruntime", "onnx")
    values = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # fatal errors alone
    feeds = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        sizes = [size.dim_value for size in kind.shape.dim]
        feeds[value.name] = np.zeros([sizes[0] or 1, *sizes[1:]], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(values, {value.name: feeds[value.name] for value in session.get_inputs()})
    except Exception:  # onnxruntime has a dozen unrelated exceptions
        return {}
    return {name: Facts(np.shape(value), np.asarray(value).dtype) for name, value in zip(values, found, strict=True)}
