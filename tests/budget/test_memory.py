"""Peak memory of activations: figures worked out by hand, planners of other programs, and what is not understood."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from helpers.baselines import filled
from helpers.budget import network_of_ones, print_verdict
from helpers.cli import run_cli, run_json
from helpers.models import small_image_network
from torch import nn

from asc_mrkd.budget import CHIPS, PRECISIONS, RULES, check_budget, fits_of, sum_verdicts, verdict_record
from asc_mrkd.budget.forward import watch_forward
from asc_mrkd.budget.memory import Memory
from asc_mrkd.budget.onnx import OnnxCounter
from asc_mrkd.compression.quantise import quantise_onnx
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import save_onnx
from asc_mrkd.errors import BudgetError, ConfigError
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

ONE_SECOND = (1, 256, 65)
OPSETS = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("other", 1)]


def memory_of(network: nn.Module, shape: tuple[int, ...], precision: str | None = "int8") -> Memory:
    return watch_forward(network, shape).trace.memory(precision)


@pytest.mark.parametrize(
    ("network", "shape", "peak"),
    [
        ("cp_resnet", (2, 256, 431), 3 * 128 * 127 * 215),
        ("cp_resnet_damped", (2, 256, 431), 3_931_920),
        ("cp_resnet_damped", (1, 40, 500), 681_264),
        ("cp_resnet_damped", ONE_SECOND, 585_216),
        ("resnet20", (3, 32, 32), 49_152),
    ],
)
def test_the_peak_is_that_of_other_planners(network, shape, peak):
    """585,216 is the head of TensorFlow Lite Micro's arena, and the memory plan of ExecuTorch, for that network."""
    options = {"in_channels": shape[0]}
    with torch.device("meta"):
        model = build_model(network, 3, **options)
    assert memory_of(model, shape).peak == peak
    assert memory_of(model, shape, "float32").peak == 4 * peak


def test_the_baseline_of_2024_peaks_where_it_is_widest():
    """A depthwise convolution of 64 channels reads 64 x 64 x 17 values and writes as many; the shortcut waits."""
    memory = memory_of(build_model("cp_mobile", 10), ONE_SECOND)
    assert memory.peak == (64 + 64 + 32) * 64 * 17 == 174_080
    assert memory.largest is not None
    assert (memory.largest.name, memory.largest.kind) == ("stages.0.0.branch.3", "Conv2d")
    assert memory.largest.output_bytes == 64 * 64 * 17


class Branches(nn.Module):
    """A sum of two convolutions of one input."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(1, 3, 1)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)))
        return (y + self.second(x)).mean((2, 3))


def test_every_layer_has_a_row_that_can_be_checked_by_hand():
    memory = memory_of(Branches(), (1, 4, 5))
    rows = [(row.name, row.kind, row.output_bytes, row.live_bytes) for row in memory.layers]
    assert rows == [
        ("first", "Conv2d", 60, 20 + 60),
        ("second", "Conv2d", 60, 20 + 60 + 60),
        ("", "add", 60, 60 + 60 + 60),
        ("", "mean", 3, 60 + 3),
    ]
    assert memory.peak == 180


class Waits(nn.Module):
    """Reads its input again after a ReLU, which therefore needs memory."""

    def forward(self, x):
        y = torch.relu(x)
        return torch.cat([x.flatten(1), y.view(y.shape[0], -1)], 1)


def test_a_relu_works_in_place_only_where_nobody_reads_its_input_later():
    assert memory_of(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), (1, 2, 2)).peak == 8
    assert memory_of(Waits(), (1, 2, 2)).peak == 4 + 4 + 8


class Assembles(nn.Module):
    """Writes its input into a new tensor."""

    def forward(self, x):
        out = torch.zeros(1, 2, *x.shape[2:])
        out[:, :1] = x
        return out + 1


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.Hardswish(), nn.GELU()])
def test_activations_that_networks_have_work_in_place(activation):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), activation, nn.Conv2d(8, 4, 1))
    assert memory_of(network, (3, 12, 12)).peak == (8 + 4) * 144


class Shuffles(nn.Module):
    """Takes its channels in another order, as ShuffleNet does."""

    def forward(self, x):
        return x.view(-1, 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


def test_a_shuffle_of_channels_needs_both_maps():
    assert memory_of(nn.Sequential(nn.Conv2d(1, 8, 1), Shuffles()), (1, 12, 12)).peak == (8 + 8) * 144


def test_a_result_of_another_type_takes_no_place_of_its_input():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 16, 1)

        def forward(self, x):
            return (self.conv(x) > 0).sum((2, 3))

    memory = watch_forward(Counts(), (1, 8, 8)).trace.memory()
    assert memory.peak == 16 * 64 * 4 + 16 * 64, "float32 and bool at once"


@pytest.mark.parametrize(
    ("source", "target", "peak"), [("UINT8", "FLOAT", 2 * 4 * 64), ("FLOAT", "FLOAT16", 2 * 2 * 64)]
)
def test_a_cast_to_a_wider_type_takes_memory(tmp_path, source, target, peak):
    source, target = (getattr(onnx.TensorProto, name) for name in (source, target))
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("Cast", ["x"], ["y"], to=target), onnx.helper.make_node("Softmax", ["y"], ["out"])]
    graph = onnx.helper.make_graph(nodes, "graph", [value("x", source, ["n", 64])], [value("out", target, ["n", 64])])
    onnx.save(onnx.helper.make_model(graph, opset_imports=OPSETS, ir_version=10), tmp_path / "m.onnx")
    memory = OnnxCounter(tmp_path / "m.onnx").trace().memory()
    assert memory.peak == peak


def test_what_is_written_into_a_new_tensor_is_an_activation():
    assert memory_of(Assembles(), (1, 2, 2)).peak == 4 + 8


def test_whole_numbers_keep_their_width():
    class Index(nn.Module):
        def forward(self, x):
            return x.argmax(1) + 1

    assert memory_of(Index(), (3, 2), "int8").peak == 6 + 2 * 8


def file_of(network: nn.Module, shape: tuple[int, ...]) -> ModelFile:
    one = np.ones((1, 1, 1), np.float32)
    return ModelFile(
        network, {"name": "resnet20", "num_classes": 7, "options": {}}, list("abcdefg"), shape, one, one, None
    )


@pytest.mark.parametrize("spec", ["resnet20", "resnet164"])
def test_the_exported_graph_has_the_peak_of_the_forward_pass(spec, tmp_path):
    network = small_image_network(spec)
    save_onnx(tmp_path / "m.onnx", file_of(network, (3, 12, 12)))
    trace = OnnxCounter(tmp_path / "m.onnx").trace()
    expected = memory_of(network, (3, 12, 12))
    assert trace.memory("int8").peak == expected.peak
    assert trace.memory().peak == 4 * expected.peak
    assert not trace.memory().not_understood
    if spec == "resnet164":
        return
    quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", [np.ones((1, 3, 12, 12), np.float32)])
    verdict = check_budget(tmp_path / "q.onnx")
    assert verdict.memory is not None
    assert verdict.memory.peak == expected.peak
    assert verdict.ram_at == {name: width * expected.peak for name, width in PRECISIONS.items()}


def test_a_network_counts_as_it_is_stored():
    network = nn.Conv2d(1, 4, 1)
    for dtype, width in ((torch.float32, 4), (torch.float16, 2)):
        verdict = check_budget(network.to(dtype), input_shape=(1, 5, 5))
        assert verdict.memory is not None
        assert verdict.memory.peak == width * (25 + 100)
    assert check_budget(network, precision="int8", input_shape=(1, 5, 5)).memory.peak == 125
    assert check_budget(network).memory is None


def test_the_edge_of_the_limit():
    network = nn.Conv2d(1, 4, 1)
    for limit, within in ((500, True), (499, False)):
        verdict = check_budget(network, replace(RULES["dcase2020-task1b"], ram=limit), input_shape=(1, 5, 5))
        assert (verdict.within, verdict.ram_headroom) == (within, limit - 500)
    assert verdict.decision == "over"
    with pytest.raises(BudgetError, match=r"RAM 500 bytes, 1 bytes too much"):
        verdict.require_within("this network", "")
    assert "over  " in print_verdict(verdict)
    with pytest.raises(ConfigError, match="depends on the shape"):
        check_budget(network, replace(RULES["dcase2020-task1b"], ram=499))


def test_what_is_not_understood_is_never_within(tmp_path):
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Mystery", ["input"], ["middle"], domain="other"),
        onnx.helper.make_node("Relu", ["middle"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("input", onnx.TensorProto.FLOAT, [1, 3])],
        [value("logits", onnx.TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=OPSETS), tmp_path / "m.onnx")
    code, record = run_json("check-budget", tmp_path / "m.onnx", "--ram", "1MB")
    assert (code, record["verdict"]) == (1, "unknown")
    assert "not understood, other.Mystery" in record["ram_not_understood"][0]
    assert {fit["fits"] for fit in record["chips"]} == {"unknown"}


def test_networks_that_work_together_run_one_after_the_other():
    small = check_budget(nn.Conv2d(1, 4, 1), input_shape=(1, 5, 5))
    large = check_budget(nn.Conv2d(1, 8, 1), input_shape=(1, 5, 5))
    assert sum_verdicts([small, large]).memory == large.memory
    assert sum_verdicts([small, check_budget(network_of_ones(3))]).memory is None
    doubtful = replace(small, memory=replace(small.memory, not_understood=("a doubt",)))
    assert sum_verdicts([large, doubtful]).memory == replace(large.memory, not_understood=("a doubt",))


def test_the_verb_shows_the_memory_layer_by_layer():
    damped = "cp_resnet_damped:num_classes=3,in_channels=1"
    arguments = ("check-budget", damped, "--input-shape", "1,256,65", "--precision", "int8")
    outcome = run_cli(*arguments, "--ram", "572KB")
    assert outcome.code == 0
    assert "RAM 585,216 bytes (571.5 KB), 512 bytes to spare" in " ".join(outcome.out.split())
    assert outcome.out.count("195,072") == 4
    assert run_cli(*arguments, "--ram", "571KB").code == 1
    own = run_json(*arguments, "--limit", "bytes=512000,ram=262144,macs=300e6")
    assert (own[0], own[1]["ram_headroom"], own[1]["multiply_adds_limit"]) == (1, 262_144 - 585_216, 300_000_000)
    assert "RAM bytes" not in run_cli(*arguments).out


def test_the_chips_have_sources_and_a_verdict():
    verdict = check_budget("cp_resnet_damped:num_classes=3,in_channels=1", precision="int8", input_shape=ONE_SECOND)
    fits = {fit.chip.name: fit for fit in fits_of(verdict)}
    assert (fits["STM32H743ZI"].fits, fits["STM32H743ZI"].reason) == ("yes", "")
    assert fits["nRF52840"].reason == "it lacks 323,072 bytes (315.5 KB) of RAM"
    assert fits_of(check_budget(network_of_ones(200_000)))[0].reason.endswith("of flash")
    assert {fit.fits for fit in fits_of(check_budget(filled(nn.Linear(3, 3))))} == {"unknown"}
    assert all(chip.source for chip in CHIPS)
    printed = run_cli("check-budget", "resnet20", "--precision", "int8", "--chips").out
    assert all(chip.name in printed for chip in CHIPS)
    assert json.loads(json.dumps(verdict_record(verdict)))["chips"][0]["chip"]["name"] == CHIPS[0].name


class LooksUp(nn.Module):
    """A network that takes rows out of a large table in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.rand(1000, 3000))

    def forward(self, x):
        return self.table[:1] + x.mean()


def test_a_table_that_may_not_fit_into_the_flash_is_not_within_it():
    verdict = check_budget(LooksUp(), input_shape=(1, 3, 3))
    fits = {fit.chip.name: fit for fit in fits_of(verdict)}
    assert fits["nRF52840"].fits == "unknown"
    assert fits["nRF52840"].reason.startswith("12,000,000 bytes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ram", "lots"), "'lots' is not a valid size"),
        (("--ram", "0"), "not a valid size"),
        (("--limit", "ram=3KB"), "does not limit the bytes"),
        (("--limit", "bytes=3,bytes=4"), "appears twice"),
        (("--limit", "flash=3"), "there is no limit 'flash'"),
    ],
)
def test_limits_that_cannot_be_read(options, message):
    outcome = run_cli("check-budget", "resnet20", *options)
    assert outcome.code == 2
    assert message in outcome.err
