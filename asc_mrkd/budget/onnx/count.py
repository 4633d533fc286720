"""Counting an ONNX file, float or quantised: the values of its initialisers and the multiply-adds of its nodes."""

import math
import os
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asc_mrkd.budget.count import LayerCount, Tally, Uncounted
from asc_mrkd.budget.memory import Operation, Trace, Value
from asc_mrkd.budget.onnx.graph import Graph, is_real
from asc_mrkd.budget.onnx.operators import (
    BATCH_NORM,
    CASTS,
    FLATTENING,
    KEEPING,
    MEANS,
    MULTIPLYING,
    ONE_BY_ONE,
    OPERATORS,
    PLAIN,
    POOLS,
    RENAMING,
    STANDARD,
    STATISTICS,
    SUMS,
)
from asc_mrkd.budget.rules import PRECISIONS
from asc_mrkd.errors import ModelError

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

    Multiply-adds are for one input, whatever the batch of the file. `torchinfo` counts as for a torch network: a
    convolution takes its values, bias included, times the positions of its output, a dense layer or batch normalisation
    its values once, a recurrent layer once per step. `nessi` counts as NeSsi, the tool of 2022 and 2023, counts a
    TFLite file: without any bias. There pooling takes its outputs times its window, a mean its inputs and a sum of two
    activations its outputs, each in a row without parameters. A dense layer on a flattened (channel, height, width)
    takes its outputs times only the channels, which is a quirk of that tool.

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
        nodes = [node for node in self.graph.nodes if not all(map(self.graph.is_constant, node.output))]
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
        """List the operators that the counts leave out or that are not understood, and a fixed batch."""
        found = []
        if self.graph.batch > 1:
            reason = f"takes {self.graph.batch} inputs at once: multiply-adds and RAM are those of one"
            found.append(Uncounted("", reason))
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
        grows = values[writes[0]].width > values[reads[0]].width
        return "new" if grows and node.op_type in CASTS else "view"
    if node.op_type in ONE_BY_ONE and values[reads[0]].count == values[writes[0]].count:
        return "in_place"
    return "new"


def node_name(node: Any) -> str:
    """Return the name of a node; of one without a name that of its first output that is not left out."""
    return node.name or next(filter(None, node.output))


def is_understood(graph: Graph, node: Any) -> bool:
    """Return whether the count of a node is right: it is in a table, or it has no weights and does not multiply."""
    if node.op_type in OPERATORS or node.op_type in STANDARD or node.op_type in PLAIN:
        return True
    if node.domain or node.op_type in MULTIPLYING:
        return False
    constants = {name for value in node.input if graph.is_constant(value) for name in graph.sources(value)}
    arrays = [graph.constants[name] for name in constants]
    return not any(array.ndim > 1 and array.dtype.name not in ("bool", "int64", "uint64") for array in arrays)


def _count_unseen(graph: Graph, node: Any) -> int | None:
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
        products = prod(graph.shape(node.output[0])) * first[-2 if is_turned else -1] // graph.batch
        return max(0, products - count_node_multiply_adds(graph, node, "torchinfo"))
    except ModelError:
        return None


def read_attribute(node: Any, name: str, default: int) -> int:
    """Return a whole number among the attributes of a node."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _initialiser_row(graph: Graph, name: str, precision: str | None) -> LayerCount:
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


def _weights(graph: Graph, node: Any) -> list[str]:
    """Return the constants that are weights or biases of a node."""
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return []
    bias = () if operator.bias is None else (operator.bias,)
    return _input_constants(graph, node, (*operator.weights, *bias))


def _input_constants(graph: Graph, node: Any, positions: Iterable[int]) -> list[str]:
    """Return the constants behind some inputs of a node, without the settings among them."""
    inputs = [node.input[position] for position in positions if position < len(node.input)]
    names = [name for value in inputs if graph.is_constant(value) for name in graph.sources(value)]
    return [name for name in dict.fromkeys(names) if not graph.is_setting(name)]


def _take_new(names: list[str], taken: set[str]) -> list[str]:
    """Return the names that are not in `taken` yet, and add them."""
    new = [name for name in names if name not in taken]
    taken.update(new)
    return new


def _is_parameter(graph: Graph, name: str) -> bool:
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


def _tally(graph: Graph, names: list[str], precision: str | None) -> Tally:
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


def count_node_multiply_adds(graph: Graph, node: Any, macs: MacRule) -> int:
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


def _count_weightless(graph: Graph, node: Any) -> int:
    """Count a pooling, a mean or a sum as NeSsi does."""
    if node.op_type in POOLS:
        return prod(graph.shape(node.output[0])[1:]) * pooling_window(node)
    if node.op_type in MEANS:
        return prod(graph.shape(node.input[0])[1:])
    terms = node.input[::3][:2] if node.op_type == "QLinearAdd" else node.input
    if node.op_type in SUMS and not any(map(graph.is_constant, terms)):
        return (len(terms) - 1) * prod(graph.shape(node.output[0])[1:])
    return 0


def _of_one_position(graph: Graph, node: Any, multiply_adds: int) -> int:
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


NARROW_BITS = dict.fromkeys(("int4", "uint4", "float4_e2m1fn"), 4) | dict.fromkeys(("int2", "uint2"), 2)
"""Bits per value of the types that share a byte."""


def stored_bytes(array: np.ndarray, count: int, width: int | None = None) -> int:
    """Return the bytes of `count` values of an array, at `width` bytes each or packed as its dtype is."""
    bits = 8 * width if width else NARROW_BITS.get(array.dtype.name, 8 * array.dtype.itemsize)
    return math.ceil(count * bits / 8)
