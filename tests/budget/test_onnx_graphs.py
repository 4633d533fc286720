"""ONNX graphs built by hand: every place of a weight, and constants that are not weights."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from asc_mrkd.budget import check_budget, count_layers
from asc_mrkd.budget.onnx import OnnxCounter, count_onnx
from asc_mrkd.errors import DamagedFileError, ModelError


def write(path, nodes, initialisers, shape=("batch", 3, 8, 8), outputs=("out",), **options):
    """Write a graph of one input `x` with the initialisers given as arrays by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in initialisers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, path, **options)
    return path


def node(op, inputs, output="out", **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("dtype", "name", "size"),
    [
        (np.float64, "float64", 8),
        (np.float32, "float32", 4),
        (np.float16, "float16", 2),
        (ml_dtypes.bfloat16, "bfloat16", 2),
        (np.int64, "int64", 8),
        (np.int32, "int32", 4),
        (np.int8, "int8", 1),
        (np.uint8, "uint8", 1),
        (ml_dtypes.int4, "int4", 0.5),
    ],
)
def test_width_of_a_weight(tmp_path, dtype, name, size):
    chain = [node("Cast", "w", "wide", to=TensorProto.FLOAT), node("MatMul", "x wide")]
    weight = np.ones((5, 3)).astype(dtype)
    weight[0, 0] = 0
    (row,) = count_onnx(write(tmp_path / "m.onnx", chain, {"w": weight}, shape=["batch", 5]))
    assert (row.dtype, row.parameters, row.non_zero) == (name, 15, 14)
    assert (row.bytes, row.non_zero_bytes) == (-(-15 * size // 1), 14 * size)
    assert row.multiply_adds == 15


def test_every_way_to_a_weight(tmp_path):
    nodes = [
        node("Constant", "", "w1", value=numpy_helper.from_array(ones(4, 3, 3, 3))),
        node("Mul", "w1 mask", "masked"),
        node("Conv", "x masked b1", "a", pads=[1, 1, 1, 1]),
        node("QLinearConv", "q s z w2 s z s z b2", "c"),
        node("ConvInteger", "q w3 z z", "d"),
        node("GlobalAveragePool", "a", "e"),
        node("Flatten", "e", "f"),
        node("Transpose", "w4", "turned"),
        node("MatMul", "f turned", "g"),
        node("QuantizeLinear", "x s z", "q"),
    ]
    nodes.insert(3, nodes.pop())
    arrays = {"mask": ones(1, 1, 3, 1), "b1": ones(4), "s": np.float32(1), "z": np.int8(0)}
    arrays |= {"w2": ones(2, 3, 1, 1, dtype=np.int8), "b2": ones(2, dtype=np.int32)}
    arrays |= {"w3": ones(2, 3, 1, 1, dtype=np.int8), "w4": ones(5, 4)}
    rows = count_onnx(write(tmp_path / "m.onnx", nodes, arrays, outputs=("c", "d", "g")))
    assert [(row.kind, row.parameters, row.bytes) for row in rows] == [
        ("Conv", 4 * 27 + 3 + 4, 4 * (4 * 27 + 3 + 4)),
        ("QLinearConv", 6 + 2, 6 + 8),
        ("ConvInteger", 6, 6),
        ("MatMul", 20, 80),
    ]
    assert [row.multiply_adds for row in rows] == [112 * 64, 8 * 64, 6 * 64, 20]


def test_constants_outside_of_layers_count_and_settings_do_not(tmp_path):
    nodes = [
        node("Clip", "x low high", "a"),
        node("PRelu", "a slope", "b"),
        node("DequantizeLinear", "table s z", "t"),
        node("Add", "b t", "c"),
        node("Pad", "c pads fill", "d"),
        node("Reshape", "d shape"),
    ]
    settings = {"low": np.float32(0), "high": np.float32(6), "s": np.float32(0.5), "z": np.int8(0)}
    settings |= {"pads": np.zeros(8, np.int64), "fill": np.float32(0), "shape": np.array([0, -1])}
    real = {"slope": ones(3, 1, 1), "table": ones(3, 8, 8, dtype=np.int8), "unused": ones(7)}
    rows = count_onnx(write(tmp_path / "m.onnx", nodes, settings | real))
    assert [(row.name, row.kind, row.bytes) for row in rows] == [
        ("slope", "initializer", 12),
        ("table", "initializer", 192),
        ("unused", "initializer", 28),
    ]


def test_a_shared_weight_counts_once_and_works_twice(tmp_path):
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w")]
    rows = count_onnx(write(tmp_path / "m.onnx", nodes, {"w": ones(3, 3, 1, 1)}))
    assert [(row.parameters, row.dtype, row.multiply_adds) for row in rows] == [
        (9, "float32", 9 * 64),
        (0, "shared", 9 * 64),
    ]


def test_batch_normalisation_keeps_its_statistics_apart(tmp_path):
    arrays = {name: ones(3) for name in ("scale", "shift", "mean", "variance")}
    path = write(tmp_path / "m.onnx", [node("BatchNormalization", "x scale shift mean variance")], arrays)
    (row,) = count_onnx(path)
    assert row.is_batch_norm
    assert (row.parameters, row.bytes, row.multiply_adds) == (6, 24, 6)
    assert (row.statistics.values, row.statistics.bytes) == (6, 24)


def test_nessi_counts_means_and_sums_of_activations(tmp_path):
    nodes = [
        node("AveragePool", "x", "a", kernel_shape=[2, 4], strides=[2, 4]),
        node("Add", "a a", "b"),
        node("Add", "b bias", "c"),
        node("GlobalAveragePool", "c"),
    ]
    path = write(tmp_path / "m.onnx", nodes, {"bias": ones(3, 1, 1)}, shape=["batch", 3, 8, 8])
    counted = {row.kind: row.multiply_adds for row in count_onnx(path, macs="nessi")}
    assert counted == {"AveragePool": 3 * 8 * 8, "Add": 3 * 4 * 2, "GlobalAveragePool": 3 * 4 * 2, "initializer": 0}
    assert [row.kind for row in count_onnx(path)] == ["initializer"]


def test_operators_of_onnxruntime_keep_their_shape(tmp_path):
    own = {"domain": "com.microsoft"}
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearAdd", "q s z q s z s z", "a", **own),
        node("QLinearConcat", "s z a s z q s z", "b", axis=1, **own),
        node("QLinearConv", "b s z w s z s z", "c"),
        node("QLinearGlobalAveragePool", "c s z s z", "d", **own),
        node("Flatten", "d", "e"),
        node("QGemm", "e s z v s z bias s z", transB=1, **own),
    ]
    arrays = {"s": np.float32(1), "z": np.int8(0), "w": ones(4, 6, 1, 1, dtype=np.int8)}
    arrays |= {"v": ones(5, 4, dtype=np.int8), "bias": ones(5, dtype=np.int32)}
    rows = count_onnx(write(tmp_path / "m.onnx", nodes, arrays))
    assert [(row.kind, row.bytes, row.multiply_adds) for row in rows] == [
        ("QLinearConv", 24, 24 * 64),
        ("QGemm", 20 + 20, 25),
    ]


def test_depthwise_and_recurrent_layers(tmp_path):
    conv = write(tmp_path / "c.onnx", [node("Conv", "x w", group=3)], {"w": ones(3, 1, 3, 3)})
    for macs in ("torchinfo", "nessi"):
        assert [row.multiply_adds for row in count_onnx(conv, macs=macs)] == [3 * 9 * 36]
    arrays = {"w": ones(1, 20, 4), "r": ones(1, 20, 5), "b": ones(1, 40)}
    path = write(tmp_path / "r.onnx", [node("LSTM", "x w r b", hidden_size=5)], arrays, shape=[7, 1, 4])
    (row,) = count_onnx(path)
    (torch_row,) = count_layers(nn.LSTM(4, 5, batch_first=True), (7, 4))
    assert (row.parameters, row.multiply_adds) == (torch_row.parameters, torch_row.multiply_adds)


@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_a_recurrent_layer_whose_sequence_nobody_takes_counts_as_any(tmp_path, kind, gates):
    arrays = {"w": ones(1, gates * 5, 4), "r": ones(1, gates * 5, 5)}
    found = []
    for name, outputs in (("both", ["y", "out"]), ("state", ["", "out"])):
        recurrent = helper.make_node(kind, ["x", "w", "r"], outputs, hidden_size=5)
        path = write(tmp_path / f"{name}.onnx", [recurrent], arrays, shape=[7, 1, 4])
        found.append(check_budget(path))
    assert found[1].multiply_adds == found[0].multiply_adds == 7 * gates * 5 * (4 + 5)
    assert found[1].layers == found[0].layers
    assert [verdict.uncounted for verdict in found] == [[], []]
    assert [operation.writes for operation in OnnxCounter(path).trace().operations] == [("out",)]


def test_weights_in_a_separate_file_count_and_are_missed(tmp_path):
    external = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path = write(tmp_path / "m.onnx", [node("Conv", "x w")], {"w": ones(4, 3, 3, 3)}, **external)
    assert [row.bytes for row in count_onnx(path)] == [4 * 27 * 4]
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(DamagedFileError, match=r"m\.onnx"):
        count_onnx(path)


@pytest.mark.parametrize("free", [-1, 0])
def test_a_size_of_minus_one_or_zero_is_free(tmp_path, free):
    weights = {"w": ones(4, 3, 3, 3)}
    named = check_budget(write(tmp_path / "named.onnx", [node("Conv", "x w")], weights, ["batch", 3, 8, 8]))
    found = check_budget(write(tmp_path / "free.onnx", [node("Conv", "x w")], weights, [free, 3, 8, 8]))
    assert (found.multiply_adds, found.memory) == (named.multiply_adds, named.memory)
    assert found.memory.peak > 0
    with pytest.raises(ModelError, match="is not known for a batch of one"):
        check_budget(write(tmp_path / "frames.onnx", [node("Conv", "x w")], weights, [1, 3, 8, free]))


def test_graphs_that_cannot_be_counted_are_refused(tmp_path):
    free = write(tmp_path / "free.onnx", [node("Conv", "x w")], {"w": ones(4, 3, 3, 3)}, ["batch", 3, 64, "frames"])
    with pytest.raises(ModelError, match="is not known for a batch of one"):
        count_onnx(free)
    inner = helper.make_graph([node("Relu", "x", "y")], "inner", [], [helper.make_empty_tensor_value_info("y")])
    branch = [node("If", "yes", then_branch=inner, else_branch=inner)]
    with pytest.raises(ModelError, match="control flow"):
        count_onnx(write(tmp_path / "if.onnx", branch, {"yes": np.array(True)}))


def test_a_fixed_batch_counts_as_one_input(tmp_path):
    arrays = {"w": ones(4, 3, 3, 3), "v": ones(144, 5)}
    verdicts = []
    for batch in ("batch", 1, 8):
        arrays["shape"] = np.array([-1 if batch == "batch" else batch, 144])
        nodes = [node("Conv", "x w", "maps"), node("Reshape", "maps shape", "flat"), node("Gemm", "flat v")]
        verdicts.append(check_budget(write(tmp_path / f"{batch}.onnx", nodes, arrays, (batch, 3, 8, 8))))
    free, one, eight = verdicts
    assert free.memory.peak == 4 * (3 * 64 + 144)
    assert [(verdict.multiply_adds, verdict.memory, verdict.ram_at) for verdict in (one, eight)] == [
        (free.multiply_adds, free.memory, free.ram_at)
    ] * 2
    assert (free.uncounted, one.uncounted) == ([], [])
    assert [part.reason for part in eight.uncounted] == [
        "takes 8 inputs at once: multiply-adds and RAM are those of one"
    ]
    assert eight.within


def test_a_first_axis_that_the_answer_does_not_have_is_no_batch(tmp_path):
    nodes = [node("Unsqueeze", "x axes", "maps"), node("Conv", "maps w")]
    arrays = {"w": ones(4, 3, 3, 3), "axes": np.array([0])}
    verdict = check_budget(write(tmp_path / "m.onnx", nodes, arrays, (3, 8, 8)))
    assert (verdict.memory.peak, verdict.uncounted) == (4 * (3 * 64 + 144), [])
