"""Counting an ONNX file, float or quantised: what its initialisers take and what its nodes multiply."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.complexity.count import LayerCount, Tally
from asc_mrkd.complexity.onnx_graph import Graph, is_real, stored_bytes
from asc_mrkd.complexity.onnx_multiply_adds import OPERATORS, MacRule, count_products
from asc_mrkd.complexity.rules import PRECISIONS

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
