"""Counting an ONNX file, float or quantised: what its initialisers take and what its nodes multiply."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from asc_mrkd.budget.count import LayerCount, Tally
from asc_mrkd.budget.rules import PRECISIONS
from asc_mrkd.deploy.onnx_file import require
from asc_mrkd.errors import DamagedFileError, ModelError, first_line

PURPOSE = "counting an .onnx file"
SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Clip", "Dropout", "OneHot"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (1, 2, 4, 5, 6, 7)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearLeakyRelu"), (1, 2, 3, 4)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "Upsample": (1,),
}
"""Inputs of a node that are settings, by operator: scales and zero points, bounds, fill values, factors."""
NARROW_BITS = dict.fromkeys(("int4", "uint4", "float4_e2m1fn"), 4) | dict.fromkeys(("int2", "uint2"), 2)
"""Bits of a value where several share a byte."""

STANDARD: dict[str, tuple[str, slice]] = {
    **{f"QLinear{op}": (op, slice(0, 4, 3)) for op in ("Add", "Mul")},
    **{f"QLinear{op}": (op, slice(1)) for op in ("GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid")},
    "QLinearConcat": ("Concat", slice(2, None, 3)),
    "QGemm": ("Gemm", slice(0, 7, 3)),
}
"""Operators of onnxruntime's own that give the shape of one of ONNX, and which of their inputs that one has."""


class Graph:
    """The main graph of an ONNX model, for a batch of one.

    Attributes:
        nodes: in the order of the file, which is one of execution.
        constants: arrays by name: initialisers first, then what `Constant` nodes hold.
        producers: the node that makes a value; nobody makes a constant or an input.
        initialisers: names of the constants that are initialisers.

    Raises:
        DamagedFileError: `path` is no whole ONNX file.
        ModelError: it holds something whose size cannot be told: control flow, sparse tensors.
    """

    def __init__(self, path: Path) -> None:
        self._model = _read(path)
        self.nodes = list(self._model.graph.node)
        self.constants: dict[str, np.ndarray] = _read_constants(path, self._model.graph)
        self.initialisers = {tensor.name for tensor in self._model.graph.initializer}
        self.producers = {name: node for node in self.nodes for name in node.output if node.op_type != "Constant"}
        self._consumers: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)
        for node in self.nodes:
            for position, name in enumerate(node.input):
                self._consumers[name].append((node, position))
        self._fixed = {*self.constants, ""}
        for node in self.nodes:
            if node.op_type == "Constant" or (node.input and self._fixed.issuperset(node.input)):
                self._fixed.update(node.output)
        self._shapes: dict[str, tuple[int | None, ...]] | None = None

    def is_setting(self, name: str) -> bool:
        """Return whether every node that takes a constant takes it as a setting: a scale, a bound, a fill value."""
        uses, is_single = self._consumers[name], self.constants[name].size == 1
        return bool(uses) and all(
            position in SETTINGS[node.op_type]
            if node.op_type in SETTINGS
            else (node.op_type.startswith("QLinear") and is_single) or self._is_dynamic_scale(node)
            for node, position in uses
        )

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
        """Yield the constants that a constant value is made of: the one it comes from first, then what changes it.

        Of the latter only real numbers (a mask, a factor) are meant; the axes and shapes are integers.
        """
        maker = self.producers.get(name)
        if maker is None:
            yield from [name] if name in self.constants else []
            return
        for position, source in enumerate(maker.input):
            for found in self.sources(source):
                if position == 0 or is_real(self.constants[found]):
                    yield found

    def before(self, name: str, through: tuple[str, ...]) -> Any:
        """Return the node that makes a value, looking through operators that keep its values; None for an input."""
        maker = self.producers.get(name)
        while maker is not None and maker.op_type in through:
            maker = self.producers.get(maker.input[0])
        return maker

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value for a batch of one.

        Raises:
            ModelError: more than the batch is free, or an operator is not one of ONNX.
        """
        if name in self.constants:
            return self.constants[name].shape
        if self._shapes is None:
            self._shapes = _infer_shapes(deepcopy(self._model))
        shape = self._shapes.get(name, (None,))
        known = tuple(size for size in shape if size is not None)
        if len(known) != len(shape):
            raise ModelError(
                f"the shape of '{name}' is not known for a batch of one, so that multiply-adds cannot be counted",
                "where more than the batch is free: python -m onnxruntime.tools.make_dynamic_shape_fixed "
                "--input_name NAME --input_shape 1,... IN.onnx OUT.onnx",
            )
        return known


def is_real(array: np.ndarray) -> bool:
    """Return whether an array holds real numbers, in floating point or quantised to at most 8 bits."""
    return array.dtype.name not in ("bool", "object") and (array.dtype.kind not in "iu" or array.dtype.itemsize == 1)


def stored_bytes(array: np.ndarray, count: int, width: int | None = None) -> int:
    """Return the bytes that `count` values of an array take, of `width` bytes each or packed as its dtype is."""
    bits = 8 * width if width else NARROW_BITS.get(array.dtype.name, 8 * array.dtype.itemsize)
    return -(-count * bits // 8)


def window(node: Any) -> int:
    """Return the values under the window of a pooling node."""
    return prod(next((attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"), [1]))


def _read(path: Path) -> Any:
    (onnx,) = require(PURPOSE, "onnx")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise what they like; a missing file of weights beside it is one
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: {first_line(error)}") from None
    if not model.graph.node:
        raise DamagedFileError(f"{path} is not an ONNX file or is damaged: it has no nodes")
    if model.functions:
        (inliner,) = require(PURPOSE, "onnx.inliner")
        model = inliner.inline_local_functions(model)
    inside = [a for node in model.graph.node for a in node.attribute if a.HasField("g") or a.graphs]
    if inside or model.graph.sparse_initializer:
        what = "control flow (If, Loop, Scan)" if inside else "sparse weights"
        raise ModelError(f"{path} has {what}, which cannot be counted", "export the network without it")
    return model


def _read_constants(path: Path, graph: Any) -> dict[str, np.ndarray]:
    (helper,) = require(PURPOSE, "onnx.numpy_helper")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                tensors[node.output[0]] = attribute.t
    try:
        return {name: helper.to_array(tensor) for name, tensor in tensors.items()}
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged: {first_line(error)}") from None


def _infer_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of the values of `model`, which is spoilt by it."""
    (inference,) = require(PURPOSE, "onnx.shape_inference")
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    for node in model.graph.node:
        if node.op_type in STANDARD:
            node.op_type, inputs = STANDARD[node.op_type][0], node.input[STANDARD[node.op_type][1]]
            del node.input[:]
            node.input.extend(inputs)
            node.domain = ""
    del model.graph.value_info[:]
    graph = inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: tuple(d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }


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


BATCH_NORM, STATISTICS = "BatchNormalization", (3, 4)
"""The operator whose running mean and variance are no parameters, and which inputs they are."""


def count_onnx(
    path: str | os.PathLike[str], precision: str | None = None, macs: MacRule = "torchinfo"
) -> list[LayerCount]:
    """Count every node of an ONNX file that has weights, in the order of the file, then what no such node has.

    A weight or bias counts as it is stored, behind whatever makes it from initialisers (DequantizeLinear, Transpose,
    a mask), in the first node that it belongs to; weights in a file beside the model count too. The scales and zero
    points of quantisation, axes, shapes, bounds and fill values count nothing. Any other initialiser with real numbers
    in it, such as a fixed input or the slope of a PReLU, has a row of its own of kind `initializer`. A value is zero
    where it is stored as 0.

    Multiply-adds are for a batch of one. `torchinfo` counts as for a torch network: a convolution takes its values,
    bias included, times the positions of its output, a dense layer or batch normalisation its values once, a recurrent
    layer once a step. `nessi` counts as NeSsi, the tool of 2022 and 2023, counts a TFLite file: without any bias, but
    pooling takes its outputs times its window, a mean its inputs and a sum of two activations its outputs, each in a
    row of no parameters; and a dense layer on a flattened (channel, height, width) takes its outputs times the
    channels alone, which is a quirk of that tool.

    Args:
        path: the file.
        precision: a key of `PRECISIONS` at which every value, quantised or not, is taken to be stored.
        macs: how multiply-adds count.

    Raises:
        MissingExtraError: onnx is not installed.
        DamagedFileError: it is no whole ONNX file.
        ModelError: control flow, sparse weights, or a shape that is not known for a batch of one.
    """
    graph = Graph(Path(path))
    taken: set[str] = set()
    rows = []
    for node in graph.nodes:
        if graph.is_constant(node.output[0]):
            continue
        held, products = _weights(graph, node), count_products(graph, node, macs)
        if held or products:
            statistics = _new(_sources(graph, node, STATISTICS), taken) if node.op_type == BATCH_NORM else []
            rows.append(_row(graph, node, held, _new(held, taken), statistics, precision, products))
    rest = [name for name in graph.constants if name not in taken and _is_parameter(graph, name)]
    return rows + [_row(graph, None, [name], [name], [], precision, 0) for name in rest]


def _weights(graph: Graph, node: Any) -> list[str]:
    operator = OPERATORS.get(node.op_type)
    if operator is None:
        return []
    bias = () if operator.bias is None else (operator.bias,)
    return _sources(graph, node, (*operator.weights, *bias))


def _sources(graph: Graph, node: Any, positions: Iterable[int]) -> list[str]:
    """Return the constants behind some inputs of a node, without the settings among them."""
    inputs = [node.input[position] for position in positions if position < len(node.input)]
    names = [name for value in inputs if graph.is_constant(value) for name in graph.sources(value)]
    return [name for name in dict.fromkeys(names) if not graph.is_setting(name)]


def _new(names: list[str], taken: set[str]) -> list[str]:
    new = [name for name in names if name not in taken]
    taken.update(new)
    return new


def _is_parameter(graph: Graph, name: str) -> bool:
    """Return whether a constant that no operator of ours has counts: a scalar in a Constant node is arithmetic."""
    array = graph.constants[name]
    if graph.is_setting(name) or not (is_real(array) or graph.is_dequantised(name)):
        return False
    return name in graph.initialisers or array.ndim > 0


def _row(
    graph: Graph,
    node: Any,
    held: list[str],
    new: list[str],
    statistics: list[str],
    precision: str | None,
    products: int,
) -> LayerCount:
    arrays = [graph.constants[name] for name in new]
    own = _tally(arrays, precision)
    dtypes = [precision or array.dtype.name for array in arrays]
    return LayerCount(
        name=_name(held[0]) if held else node.name or node.output[0],
        kind=node.op_type if node is not None else "initializer",
        parameters=own.values,
        non_zero=own.non_zero,
        dtype="+".join(dict.fromkeys(dtypes)) or ("shared" if held else ""),
        bytes=own.bytes,
        non_zero_bytes=own.non_zero_bytes,
        multiply_adds=products,
        is_batch_norm=node is not None and node.op_type == BATCH_NORM,
        statistics=_tally([graph.constants[name] for name in statistics], precision),
    )


def _name(initialiser: str) -> str:
    """Return the layer that an initialiser is named after.

    >>> _name("stem.0.weight_quantized")
    'stem.0'
    """
    return initialiser.removesuffix("_quantized").removesuffix(".weight")


def _tally(arrays: list[np.ndarray], precision: str | None) -> Tally:
    width = PRECISIONS[precision] if precision else None
    non_zero = [int(np.count_nonzero(array)) for array in arrays]
    return Tally(
        values=sum(array.size for array in arrays),
        non_zero=sum(non_zero),
        bytes=sum(stored_bytes(array, array.size, width) for array in arrays),
        non_zero_bytes=sum(stored_bytes(array, n, width) for array, n in zip(arrays, non_zero, strict=True)),
    )
