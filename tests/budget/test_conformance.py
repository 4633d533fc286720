"""The published figures of the organisers' own networks and calculators, through Python and the command line."""

import json
from pathlib import Path

import pytest
from helpers import baselines
from helpers.cli import run_cli

from asc_mrkd.budget import check_budget, count_layers, exact_size
from asc_mrkd.budget.count import count_multiply_adds
from asc_mrkd.budget.model_source import call_network_function
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

NETWORKS = Path(baselines.__file__)


def network(name):
    return call_network_function(NETWORKS, name)


TOTALS = [
    ("baseline_2020", (1, 40, 500), "dcase2020-task1b", 115_219, None, "460,876 bytes (450.1 KB)"),
    ("baseline_2021", (1, 40, 500), "dcase2021-task1a", 46_246, None, "93,004 bytes (90.82 KB)"),
    ("baseline_2021_folded", (1, 40, 500), "dcase2021-task1a", 45_990, None, "91,980 bytes (89.82 KB)"),
    ("baseline_2022_int8", (1, 40, 51), "dcase2024-task1", 45_990, None, "46,512 bytes (45.42 KB)"),
    ("nessi_test", (3, 320, 320), "dcase2022-task1", 3_358, 301_312_328, "3,358 bytes (3.279 KB)"),
    ("submission_2", (2, 256, 431), "dcase2020-task1b", 247_562, 1_863_095_046, "495,124 bytes (483.5 KB)"),
]


@pytest.mark.parametrize(("name", "shape", "rule", "counted", "multiply_adds", "size"), TOTALS)
def test_totals(name, shape, rule, counted, multiply_adds, size):
    verdict = check_budget(network(name), rule, input_shape=shape)
    assert (verdict.counted, exact_size(verdict.bytes)) == (counted, size)
    assert multiply_adds in (None, verdict.multiply_adds)
    command = "check-budget", f"{NETWORKS}:{name}", "--rule", rule, "--input-shape", ",".join(map(str, shape))
    code, out, _ = run_cli(*command)
    assert (code, size in out, f"{counted:,} " in out) == (1 if name == "nessi_test" else 0, True, True)
    record = json.loads(run_cli(*command, "--json").out)
    assert (record["bytes"], record["multiply_adds"]) == (verdict.bytes, verdict.multiply_adds)


@pytest.mark.parametrize(
    ("spec", "parameters", "batch_norm", "multiply_adds", "size"),
    [
        ("cp_resnet:rho=3,width=48,blocks=4,0,0,decomposition=4", 18_390, 870, 211_232_934, "35,040 bytes (34.22 KB)"),
        ("cp_resnet_damped", 245_958, 3_366, 1_100_458_758, "485,184 bytes (473.8 KB)"),
    ],
)
def test_submissions_1_and_3(spec, parameters, batch_norm, multiply_adds, size):
    spec = f"{spec}{',' if ':' in spec else ':'}num_classes=3"
    verdict = check_budget(spec, precision="float16")
    assert (verdict.parameters, verdict.batch_norm, verdict.multiply_adds) == (parameters, batch_norm, multiply_adds)
    assert exact_size(verdict.bytes) == size
    assert size in run_cli("check-budget", spec, "--precision", "float16").out


def test_submission_2_before_and_after_pruning():
    verdict = check_budget(network("submission_2"))
    assert (verdict.parameters, verdict.non_zero, verdict.batch_norm) == (268_166, 250_000, 2_438)


def test_cp_resnet():
    verdict = check_budget("cp_resnet")
    assert (verdict.parameters, verdict.counted, verdict.multiply_adds) == (3_566_612, 3_550_464, 8_414_509_076)
    assert (verdict.what_if["float32"], verdict.what_if["float16"]) == (13_869 * 1024, 6_934.5 * 1024)
    code, out, _ = run_cli("check-budget", "cp_resnet")
    assert (code, "3,566,612" in out, "14,201,856 bytes (13.54 MB)" in out) == (1, True, True)


def test_baseline_2018():
    rows = count_layers(network("baseline_2018"), (1, 40, 500))
    trainable, statistics = sum(row.parameters for row in rows), sum(row.statistics.values for row in rows)
    assert (trainable, trainable + statistics) == (116_022, 116_118)


@pytest.mark.parametrize(
    ("name", "values", "sizes"),
    [
        ("baseline_2020", [1_600, 100_416, 12_900, 303], [6_400, 401_664, 51_600, 1_212]),
        ("baseline_2021", [800, 12_560, 25_120, 6_500, 1_010], [1_600, 25_120, 50_240, 13_000, 2_020]),
        ("baseline_2021_folded", [784 + 16, 12_544 + 16, 25_088 + 32, 6_400 + 100, 1_000 + 10], None),
        ("baseline_2022_int8", [800, 12_560, 25_120, 6_500, 1_010], [848, 12_608, 25_216, 6_800, 1_040]),
    ],
)
def test_layer_by_layer(name, values, sizes):
    rows = [row for row in count_layers(network(name)) if not row.is_batch_norm]
    assert [row.parameters for row in rows] == values
    assert sizes is None or [row.bytes for row in rows] == sizes


def test_batch_normalisation_of_2021():
    rows = [row for row in count_layers(network("baseline_2021")) if row.is_batch_norm]
    assert [row.parameters + row.statistics.values for row in rows] == [64, 64, 128]
    assert {row.dtype for row in rows} == {"float32"}


@pytest.mark.parametrize(
    ("rule", "size"),
    [
        ("dcase2023-task1", "61,148 bytes (59.71 KB)"),
        ("dcase2024-task1", "122,296 bytes (119.4 KB)"),
        ("dcase2025-task1", "122,296 bytes (119.4 KB)"),
    ],
)
def test_cp_mobile_is_the_baseline_of_2024_and_2025(rule, size):
    verdict = check_budget("cp_mobile", rule, precision="float16")
    assert (verdict.parameters, verdict.counted, verdict.multiply_adds) == (61_148, 61_148, 29_419_156)
    assert exact_size(verdict.bytes) == size
    code, out, _ = run_cli("check-budget", "cp_mobile:num_classes=10", "--rule", rule, "--precision", "float16")
    assert (code, size in out, "29,419,156 MACs for 1 x 256 x 65" in out) == (0, True, True)
    assert not check_budget("cp_mobile", "dcase2025-task1").within, "in float32 it is too large"


def test_cp_mobile_layer_by_layer():
    rows = {row.name: row for row in count_layers(build_model("cp_mobile", 10), (1, 256, 65))}

    def both(*names):
        return sum(rows[name].parameters for name in names), sum(rows[name].multiply_adds for name in names)

    assert both("stem.0", "stem.1") == (88, 304_144)
    assert both("stages.0.2.branch.3", "stages.0.2.branch.4") == (704, 331_904)
    assert both("head.0") == (1_040, 299_520)
    assert both("head.1") == (20, 20)
    assert sum(row.parameters for row in rows.values() if row.is_batch_norm) == 2_708


def test_quantisation_does_not_change_the_multiply_adds():
    counts = [
        list(count_multiply_adds(network(n), (1, 40, 51)).values()) for n in ("baseline_2022", "baseline_2022_int8")
    ]
    assert sorted(counts[0]) == sorted(counts[1])


def test_tflite_baseline_as_nessi_counts_it(tmp_path):
    pytest.importorskip("onnx")
    path = tmp_path / "baseline.onnx"
    network_file(path)
    verdict = check_budget(path, "dcase2022-task1")
    assert (verdict.bytes, verdict.multiply_adds) == (46_512, 29_234_920)
    products = [1_599_360, 25_589_760, 32_000, 2_007_040, 2_560, 3_200, 1_000]
    assert [row.multiply_adds for row in verdict.layers] == products
    assert "MACC 29.235 M, memory 46.512 K" in run_cli("check-budget", path, "--rule", "dcase2022-task1").out


def network_file(path):
    import runpy

    runpy.run_path(str(NETWORKS.with_name("onnx_models.py")))["write_baseline_2022"](path)
