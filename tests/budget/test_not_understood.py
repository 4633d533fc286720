"""A verdict "within" is never given where something that holds weights or multiplies was not understood."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchinfo
from helpers.budget import print_verdict
from helpers.cli import run_cli
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from asc_mrkd.budget import check_budget, count_layers, parse_limits, sum_verdicts
from asc_mrkd.budget.forward import watch_forward
from asc_mrkd.errors import BudgetError, ModelError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

RULE = "dcase2024-task1"


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def write_graph(path, nodes, arrays, shape, domain=""):
    """Write a graph of one input `x` and the output `out` with initialisers given as arrays by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("out")],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.fixture(scope="module")
def two_convolutions(tmp_path_factory):
    """Folder of one network as it was exported, and as onnxruntime optimises it for this processor and for all."""
    folder = tmp_path_factory.mktemp("onnx")
    arrays = {"w1": ones(16, 1, 3, 3), "b1": ones(16), "w2": ones(16, 16, 3, 3), "b2": ones(16)}
    nodes = [
        node("Conv", "x w1 b1", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b w2 b2", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "f"),
        node("Gemm", "f w3 b3", "out", transB=1),
    ]
    arrays |= {"w3": ones(10, 16), "b3": ones(10)}
    write_graph(folder / "plain.onnx", nodes, arrays, ["batch", 1, 256, 65])
    for level, name in (("ORT_ENABLE_EXTENDED", "fused.onnx"), ("ORT_ENABLE_ALL", "blocked.onnx")):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(folder / name)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(folder / "plain.onnx"), options, providers=["CPUExecutionProvider"])
    return folder


@pytest.mark.parametrize("rule", [RULE, "dcase2022-task1"])
def test_b1_fused_convolutions_count_as_the_plain_ones(two_convolutions, rule):
    fused = onnx.load(two_convolutions / "fused.onnx").graph.node
    assert {item.op_type for item in fused} >= {"FusedConv"}
    found = [check_budget(two_convolutions / name, rule) for name in ("plain.onnx", "fused.onnx")]
    assert found[0].multiply_adds == found[1].multiply_adds > 41_000_000
    assert [verdict.decision for verdict in found] == ["over", "over"]
    assert [row.parameters for row in found[0].layers if row.parameters] == [160, 2_320, 170]
    assert run_cli("check-budget", two_convolutions / "fused.onnx", "--rule", rule).code == 1


def test_b1_blocked_convolutions_have_no_verdict(two_convolutions):
    path = two_convolutions / "blocked.onnx"
    if "com.microsoft.nchwc" not in {item.domain for item in onnx.load(path).graph.node}:
        pytest.skip("onnxruntime does not block the convolutions on this processor")
    for rule in (RULE, "dcase2022-task1", "dcase2020-task1b"):
        code, out, _ = run_cli("check-budget", path, "--rule", rule)
        assert (code, "com.microsoft.nchwc.Conv" in " ".join(out.split())) == (1, True)
        assert ("unknown" in out, "within  " in out) == (True, False)
    with pytest.raises(BudgetError, match=r"cannot be counted .*nchwc"):
        check_budget(path, RULE).require_within("this file", "")


@pytest.mark.parametrize(
    ("op", "domain", "inputs"),
    [
        ("Mystery", "org.example", "x w"),
        ("Mystery", "org.example", "x turned"),
        ("Mystery", "org.example", "x"),
        ("Conv", "org.example", "x w"),
        ("MultiHeadAttention", "com.microsoft", "x x x"),
        ("Einsum", "", "x w"),
        ("LinearClassifier", "ai.onnx.ml", "x"),
    ],
)
def test_b1_any_operator_that_is_not_understood_is_named(tmp_path, op, domain, inputs):
    nodes = [node("Transpose", "w", "t"), node("Identity", "t", "turned"), node(op, inputs, "out", domain=domain)]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": ones(8, 8)}, ["batch", 8], domain)
    for rule in (RULE, "dcase2020-task1b"):
        verdict = check_budget(path, rule)
        assert (verdict.within, verdict.decision) == (False, "unknown")
        assert op in verdict.uncounted[0].reason
        assert sum(row.bytes for row in verdict.layers) == 256


def test_b1_a_fused_dense_layer_and_a_product_of_microsoft(tmp_path):
    own = {"domain": "com.microsoft"}
    nodes = [
        node("FusedGemm", "x w b", "a", transB=1, activation="Relu", **own),
        node("FusedMatMul", "a v", "out", alpha=0.5, **own),
    ]
    arrays = {"w": ones(6, 8), "b": ones(6), "v": ones(6, 3)}
    verdict = check_budget(write_graph(tmp_path / "m.onnx", nodes, arrays, ["batch", 8], "com.microsoft"), RULE)
    assert [(row.parameters, row.multiply_adds) for row in verdict.layers] == [(54, 54), (18, 18)]
    assert (verdict.decision, list(verdict.uncounted)) == ("within", [])


def test_b1_weights_of_any_constant_node_count(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["flat"], value_floats=[1.0] * 24),
        node("Reshape", "flat shape", "w"),
        node("MatMul", "x w", "out"),
    ]
    path = write_graph(tmp_path / "m.onnx", nodes, {"shape": np.array([8, 3])}, ["batch", 8])
    assert [(row.parameters, row.multiply_adds) for row in check_budget(path, RULE).layers] == [(24, 24)]


def test_b4_products_of_activations_in_an_onnx_file_are_named(tmp_path):
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y"), node("MatMul", "y w", "out")]
    path = write_graph(tmp_path / "m.onnx", nodes, {"w": ones(65, 2)}, ["batch", 65, 64])
    verdict = check_budget(path, RULE)
    assert verdict.multiply_adds == 130
    assert [part.multiply_adds for part in verdict.uncounted] == [65 * 65 * 64, 64 * 130]
    assert verdict.within
    larger = write_graph(tmp_path / "l.onnx", nodes[:2], {}, ["batch", 2_000, 64])
    assert (check_budget(larger, RULE).multiply_adds, check_budget(larger, RULE).decision) == (0, "unknown")


class Int8Linear(nn.Module):
    """Dense layer whose weight is a buffer of int8."""

    def __init__(self, inside, outside, dtype=torch.int8, name="weight", scale=nn.Parameter):
        super().__init__()
        self.name = name
        self.register_buffer(name, torch.randint(-127, 127, (outside, inside)).to(dtype))
        self.scales = scale(torch.ones(outside))

    def forward(self, x):
        return nn.functional.linear(x, getattr(self, self.name).float() * self.scales[:, None])


NETWORK_FILE = """
import torch
from torch import nn


class Int8Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.randint(-127, 127, (1024, 2304), dtype=torch.int8))
        self.register_buffer("scales", torch.ones(1024))

    def forward(self, x):
        return nn.functional.linear(x, self.weight.float() * self.scales[:, None])


def build():
    return nn.Sequential(nn.Flatten(), Int8Linear(), nn.Linear(1024, 10))
"""


def test_b3_int8_weights_in_a_buffer_count(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK_FILE)
    command = "check-budget", f"{tmp_path / 'net.py'}:build", "--input-shape", "1,48,48", "--rule", RULE, "--json"
    code, out, _ = run_cli(*command)
    record = json.loads(out)
    assert (code, record["verdict"], record["bytes"]) == (1, "over", 2_359_296 + 4 * 10_250)
    assert record["buffers"] == 1024
    assert record["not_counted"][0]["multiply_adds"] == 2_359_296
    assert check_budget(nn.Sequential(nn.Flatten(), Int8Linear(2304, 1024))).bytes > 2_300_000, "without an input too"


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.float32])
@pytest.mark.parametrize("name", ["weight", "_frozen_param0"])
def test_b3_other_buffers_that_multiply_like_weights(dtype, name):
    network = Int8Linear(512, 400, dtype, name)
    with_input = check_budget(network, "dcase2020-task1b", input_shape=(512,))
    assert with_input.parameters == 512 * 400 + 400
    assert with_input.within == (dtype == torch.int16)
    without = check_budget(network)
    assert (without.parameters, without.decision) == (400, "within" if dtype == torch.int16 else "unknown")
    assert f"{name} 204,800 values outside of the parameters may be weights" in " ".join(print_verdict(without).split())


class FlatWeight(nn.Module):
    """Dense layer whose weight is kept flat, in a buffer of one dimension."""

    def __init__(self):
        super().__init__()
        self.register_buffer("flat", torch.linspace(1, 2, 512 * 400))

    def forward(self, x):
        return nn.functional.linear(x, self.flat.view(400, 512))


def test_b3_a_weight_kept_flat_counts():
    with_input = check_budget(FlatWeight(), "dcase2020-task1b", input_shape=(512,))
    assert (with_input.bytes, with_input.decision) == (4 * 512 * 400, "over")
    assert check_budget(FlatWeight()).decision == "unknown"


class WithTables(nn.Module):
    """Network with a mask, a position table, a window and the index of a table: none of them a weight."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 4)
        self.register_buffer("mask", torch.tril(torch.ones(64, 64, dtype=torch.uint8)))
        self.register_buffer("positions", torch.randn(65, 64))
        self.register_buffer("window", torch.hann_window(64))
        self.register_buffer("index", torch.arange(65 * 64).reshape(65, 64))

    def forward(self, x):
        x = (x + self.positions) * self.window + self.index * 0
        return self.fc(x.masked_fill(self.mask[:1] == 0, 0)).mean(1)


def test_b3_masks_and_tables_are_no_weights():
    verdict = check_budget(WithTables(), RULE, input_shape=(65, 64))
    assert (verdict.parameters, verdict.buffers) == (260, 64 * 64 + 65 * 64 + 64 + 65 * 64)
    assert {part.name for part in verdict.uncounted if part.bytes} == {"positions"}, "it may be a weight that is added"
    without = check_budget(WithTables())
    assert ({part.name for part in without.uncounted}, without.decision) == ({"positions", "window"}, "within")


class Kept(nn.Module):
    """Network whose other weights are buffers of some shape, used in some way."""

    def __init__(self, shape, use):
        super().__init__()
        self.fc = nn.Linear(100, 100)
        self.norm = nn.BatchNorm1d(100, affine=False)
        self.use = use
        for number in range(10):
            self.register_buffer(f"kept{number}", torch.randn(*shape))

    def forward(self, x):
        x = self.norm(self.fc(x))
        return sum(self.use(x, getattr(self, f"kept{number}")) for number in range(10))


KEPT = {
    "flat": ((10_000,), lambda x, kept: x @ kept.view(100, 100), "over", "unknown"),
    "vector": ((100,), lambda x, kept: x @ kept, "within", "within"),
    "bias": ((100,), lambda x, kept: nn.functional.linear(x, torch.eye(100), kept), "within", "within"),
    "sum": ((100, 100), lambda x, kept: (x[:, None] * kept).sum(-1), "unknown", "unknown"),
    "look-up": ((100, 100), lambda x, kept: kept[x.long().clamp(0, 99)], "unknown", "unknown"),
}


@pytest.mark.parametrize("use", KEPT)
def test_b3_values_in_buffers_count_or_are_named(use):
    shape, function, decision, without_shape = KEPT[use]
    network = Kept(shape, function)
    limits = parse_limits("bytes=400000")
    verdict = check_budget(network, limits, input_shape=(100,))
    assert verdict.decision == decision
    size = 4 * 10 * np.prod(shape)
    named = sum(part.bytes for part in verdict.uncounted)
    assert verdict.bytes + named == 4 * 100 * 101 + size
    without = check_budget(network, limits)
    assert (sum(part.bytes for part in without.uncounted), without.decision) == (size, without_shape)


class Foreign(nn.Module):
    """Network that multiplies with a plain attribute, and with a tensor that it does not own."""

    def __init__(self):
        super().__init__()
        self.plain = torch.randn(30, 50)

    def forward(self, x):
        return x @ self.plain.T @ HIDDEN


HIDDEN = torch.randn(30, 20)


def test_b3_weights_that_are_plain_tensors():
    verdict = check_budget(Foreign(), RULE, input_shape=(50,))
    assert (verdict.parameters, verdict.decision) == (1_500, "unknown")
    assert any("neither a parameter nor a buffer" in part.reason for part in verdict.uncounted)


class Hidden(nn.Module):
    """Network with a layer and a weight in lists, which torch does not see."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(30, 30)]
        self.weights = [torch.randn(30, 40)]

    def forward(self, x):
        return self.layers[0](x) @ self.weights[0]


class PackedFunction(nn.Module):
    """Network that calls a quantised operator with packed weights."""

    def __init__(self):
        super().__init__()
        weight = torch.quantize_per_tensor(torch.randn(40, 30), 0.1, 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(weight, torch.zeros(40))

    def forward(self, x):
        return torch.ops.quantized.linear_dynamic(x, self.packed)


@pytest.mark.parametrize("kind", [Hidden, PackedFunction])
def test_b3_weights_that_torch_does_not_see(kind):
    assert check_budget(kind(), RULE, input_shape=(30,)).decision == "unknown"
    verdict = check_budget(kind())
    assert verdict.decision == "unknown"
    assert {part.name for part in verdict.uncounted} <= {"layers", "weights", "packed"}


class Attention(nn.Module):
    """One encoder layer over the frames of a spectrogram."""

    def __init__(self, width=64):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.encoder(x[:, 0].transpose(1, 2)).mean(1))


def test_b4_attention_has_the_figure_of_torchinfo_and_is_named():
    verdict = check_budget(Attention().half(), RULE, input_shape=(1, 64, 65))
    expected = torchinfo.summary(Attention(), input_size=(1, 1, 64, 65), verbose=0).total_mult_adds
    left_out = {part.name: part.multiply_adds for part in verdict.uncounted}
    assert verdict.multiply_adds == expected
    assert left_out["encoder.self_attn"] == 4 * 64 * 64 * 65 + 2 * 65 * 65 * 64
    assert list(left_out) == ["encoder.self_attn", "encoder.linear1", "encoder.linear2"]
    assert verdict.within
    text = " ".join(print_verdict(verdict).split())
    assert "not counted encoder.self_attn multiplies 1,605,760 times more than torchinfo counts" in text


def test_b4_attention_that_may_be_over_has_no_verdict():
    verdict = check_budget(Attention().half(), RULE, input_shape=(1, 64, 900))
    assert (verdict.multiply_adds < 1_000_000, verdict.decision) == (True, "unknown")
    assert "unknown" in print_verdict(verdict)
    with pytest.raises(BudgetError, match=r"cannot be counted .*self_attn multiplies"):
        verdict.require_within("this network", "")
    assert not sum_verdicts([verdict, verdict]).within


def test_b4_a_dense_layer_over_positions_and_the_fast_path():
    network = nn.Sequential(nn.Linear(8, 8), nn.Conv1d(4, 4, 1))
    forward = watch_forward(network, (4, 8))
    assert forward.unseen == {"0": 4 * 64 - 72}
    eager = torch.backends.mha.get_fastpath_enabled()
    watch_forward(nn.TransformerEncoder(Attention().encoder, 1), (5, 64))
    assert torch.backends.mha.get_fastpath_enabled() == eager


def small_network(change=lambda layer: layer):
    layers = [change(nn.Conv2d(1, 16, 3)), nn.ReLU(), change(nn.Conv2d(16, 20, 3)), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), change(nn.Linear(20, 10)))


def tied():
    first, second = nn.Linear(48, 48), nn.Linear(48, 48)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), nn.Linear(1600, 48), first, nn.ReLU(), second, nn.Linear(48, 3))


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.6)


NORMS = (weight_norm, spectral_norm, parametrizations.weight_norm, parametrizations.spectral_norm, pruned)
NAMES = ("weight_norm", "spectral_norm", "weight_norm (new)", "spectral_norm (new)", "pruned")


class Cells(nn.Module):
    """Recurrent cells called once per frame, and a layer of several."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(40, 12, batch_first=True, num_layers=2, bidirectional=True)
        self.cell = nn.LSTMCell(24, 8)

    def forward(self, x):
        sequence, state = self.gru(x[:, 0].transpose(1, 2))[0], None
        for frame in range(sequence.shape[1]):
            state = self.cell(sequence[:, frame], state)
        return state[0]


@pytest.mark.parametrize(
    "build",
    [small_network, tied, Cells, *(lambda norm=norm: small_network(norm) for norm in NORMS)],
    ids=["plain", "tied", "recurrent", *NAMES],
)
def test_f1_12_as_nessi_is_what_nessi_prints(build):
    network = build()
    summary = torchinfo.summary(network, input_size=(1, 1, 40, 40), verbose=0)
    verdict = check_budget(network, "dcase2022-task1", input_shape=(1, 40, 40))
    assert verdict.nessi == (summary.total_params, summary.total_mult_adds)
    text = f"MACC {summary.total_mult_adds / 1e6:.3f} M, memory {summary.total_params / 1e3:.3f} K"
    assert text in " ".join(print_verdict(verdict).split())


@pytest.mark.parametrize("norm", NORMS, ids=NAMES)
def test_f1_12_a_normed_weight_counts_as_the_plain_one(norm):
    plain, normed = (count_layers(network, (1, 40, 40)) for network in (small_network(), small_network(norm)))
    assert [(row.parameters, row.multiply_adds) for row in plain] == [
        (row.parameters, row.multiply_adds) for row in normed
    ]


def test_f1_12_what_the_organisers_refuse_is_not_within():
    first, second = nn.Linear(300, 300, bias=False), nn.Linear(300, 300, bias=False)
    second.weight = first.weight
    verdict = check_budget(nn.Sequential(first, second), "dcase2022-task1", input_shape=(300,))
    assert (verdict.parameters, verdict.nessi.parameters, verdict.decision) == (90_000, 180_000, "over")
    with pytest.raises(BudgetError, match=r"as NeSsi counts it: MACC 0\.180 M, memory 180\.000 K"):
        verdict.require_within("this network", "")
    assert "over as NeSsi counts it" in " ".join(print_verdict(verdict).split())


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_f1_12_the_zero_state_of_a_recurrent_onnx_layer_is_no_parameter(kind, tmp_path):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(40, 12, batch_first=True)
            self.head = nn.Linear(12, 10)

        def forward(self, x):
            return self.head(self.layer(x)[0][:, -1])

    network = Recurrent().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 6, 40),), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17)
    plain = check_budget(network, RULE, input_shape=(6, 40))
    found = check_budget(tmp_path / "m.onnx", RULE)
    assert (found.parameters, found.multiply_adds, found.decision) == (plain.parameters, plain.multiply_adds, "within")


def test_f1_12_initial_states_given_as_initialisers(tmp_path):
    arrays = {"w": ones(1, 20, 4), "r": ones(1, 20, 5), "b": ones(1, 40), "h": 0 * ones(1, 1, 5), "zero": 0 * ones(1)}
    arrays["shape"] = np.array([1, 1, 5])
    nodes = [node("Expand", "zero shape", "c"), helper.make_node("LSTM", [*"wrb"], ["out"], hidden_size=5)]
    nodes[1].input[:] = ["x", "w", "r", "b", "", "h", "c"]
    path = write_graph(tmp_path / "m.onnx", nodes, arrays, [7, 1, 4])
    assert check_budget(path, RULE).parameters == 80 + 100 + 40
    learned = write_graph(tmp_path / "l.onnx", nodes, arrays | {"h": ones(1, 1, 5)}, [7, 1, 4])
    assert check_budget(learned, RULE).parameters == 80 + 100 + 40 + 5


class Encoder(nn.Module):
    """Network with a compiled part."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.compile(nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU()))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.encoder(x).mean((2, 3)))


def compile_in_place(network):
    network.compile()
    return network


def compile_forward(network):
    network.forward = torch.compile(network.forward)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, lambda n: nn.DataParallel(torch.compile(n)), compile_in_place, compile_forward],
    ids=["compiled", "data parallel", "both", "compiled in place", "compiled forward"],
)
def test_b5_a_wrapped_network_is_counted_as_the_bare_one(wrap, monkeypatch):
    torch.manual_seed(0)
    bare = check_budget(small_network(), RULE, input_shape=(1, 40, 40))
    torch.manual_seed(0)
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", refuse)
    assert check_budget(wrap(small_network()), RULE, input_shape=(1, 40, 40)) == bare


def refuse(*arguments, **options):
    raise AssertionError("a compiler was started")


def test_b5_a_compiled_part_has_plain_names():
    verdict = check_budget(Encoder(), RULE, input_shape=(1, 40, 40))
    assert [row.name for row in verdict.layers] == ["encoder.0", "head"]
    assert verdict.layers[0].multiply_adds == 160 * 38 * 38


LOADING = """
import torch
from torch import nn


def build():
    network = nn.Sequential(nn.Linear(3, 2))
    network.load_state_dict({"PREFIX" + name: value for name, value in network.state_dict().items()})
    return network
"""


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [("_orig_mod.", "torch.compile"), ("module.", "DataParallel"), ("module._orig_mod.", "DataParallel and torch.c")],
)
def test_b5_the_prefix_of_saved_weights_is_named(tmp_path, prefix, wrapper):
    (tmp_path / "net.py").write_text(LOADING.replace("PREFIX", prefix))
    code, _, err = run_cli("check-budget", f"{tmp_path / 'net.py'}:build")
    assert code == 2
    assert f"missing '0.weight', unexpected '{prefix}0.weight'" in err
    assert f"hint: the names start with '{prefix}', which {wrapper}" in err


@pytest.mark.parametrize("name", ["weights.pth", "model.tflite", "timm.safetensors"])
def test_b5_files_of_other_programs_get_a_hint(tmp_path, name):
    from safetensors.torch import save_file

    if name.endswith("safetensors"):
        save_file({"conv.weight": torch.zeros(3)}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"PK\3\4 something else")
    code, _, err = run_cli("check-budget", tmp_path / name)
    assert (code, "file.py:function" in err) == (2, True)


def test_a_custom_operator_is_not_understood():
    class Custom(nn.Module):
        def forward(self, x):
            return torch.ops.test_budget.mystery(x)

    if not hasattr(torch.ops.test_budget, "mystery"):
        torch.library.custom_op(
            "test_budget::mystery", lambda x: x.clone(), mutates_args=(), schema="(Tensor x) -> Tensor"
        )
    verdict = check_budget(Custom(), RULE, input_shape=(3,))
    assert verdict.decision == "unknown"
    assert "test_budget::mystery" in verdict.uncounted[0].reason


def test_an_input_that_does_not_fit_is_still_an_error():
    with pytest.raises(ModelError, match="does not accept"):
        check_budget(small_network(), RULE, input_shape=(3, 40, 40))


class Delta(nn.Module):
    """Layer that trains the difference from a frozen weight, and keeps a view of a parameter."""

    def __init__(self):
        super().__init__()
        self.register_buffer("frozen", torch.randn(40, 30))
        self.difference = nn.Parameter(torch.zeros(40, 30))
        self.view = self.difference.detach()

    def forward(self, x):
        return nn.functional.linear(x, self.frozen + self.difference) @ self.view


def test_b3_a_frozen_weight_as_large_as_its_change_counts():
    assert check_budget(Delta(), RULE, input_shape=(30,)).parameters == 2 * 1_200
