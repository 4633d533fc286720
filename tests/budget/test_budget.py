"""The size of a network under a rule: limits, zeros, precisions, what is printed and what goes into JSON."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from helpers.budget import network_of_ones, print_verdict
from torch import nn

from asc_mrkd.budget import RULES, check_budget, exact_size, sum_verdicts, verdict_record
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.errors import BudgetError, ConfigError, DamagedFileError, ModelError, RunError
from asc_mrkd.features.spec import load_spec
from asc_mrkd.models import build_model

KB = 1024


def test_the_edge_of_the_limit():
    assert check_budget(network_of_ones(128_000)).within
    assert check_budget(network_of_ones(128_000)).headroom == 0
    assert not check_budget(network_of_ones(128_001)).within
    assert check_budget(network_of_ones(128_001)).headroom == -4


@pytest.mark.parametrize(("precision", "largest"), [("float32", 128_000), ("float16", 256_000), ("int8", 512_000)])
def test_the_edge_at_every_precision(precision, largest):
    assert check_budget(network_of_ones(largest), precision=precision).within
    assert not check_budget(network_of_ones(largest + 1), precision=precision).within


def test_zeros_take_no_space():
    network = network_of_ones(200_000)
    with torch.no_grad():
        network.weight[:, 128_000:] = 0.0
    verdict = check_budget(network)
    assert verdict.within
    assert (verdict.parameters, verdict.non_zero, verdict.counted) == (200_000, 128_000, 128_000)


def test_a_rule_of_ones_own():
    network = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4))
    strict = dataclasses.replace(RULES["dcase2020-task1b"], limit=40, counts_zeros=True, counts_batch_norm=True)
    verdict = check_budget(network, strict)
    assert (verdict.bytes, verdict.counted, verdict.within) == ((4 + 8) * 4, 12, False)
    assert check_budget(network).bytes == 4 * 4


@pytest.mark.parametrize(
    ("spec", "parameters", "kilobytes"),
    [
        ("cp_resnet:num_classes=3,rho=3,width=48,blocks=4,0,0,decomposition=4", 18_390, 34.21875),
        ("cp_resnet_damped:num_classes=3", 245_958, 473.8125),
        ("cp_resnet", 3_566_612, 6_934.5),
    ],
)
def test_sizes_of_the_submitted_networks(spec, parameters, kilobytes):
    verdict = check_budget(spec, precision="float16")
    assert verdict.parameters == parameters
    assert verdict.bytes == kilobytes * KB


def test_multiply_adds_of_the_decomposed_network():
    verdict = check_budget("cp_resnet:num_classes=3,rho=3,width=48,blocks=4,0,0,decomposition=4")
    assert verdict.multiply_adds == 211_232_934


def test_what_if_and_verdict_of_the_damped_network():
    verdict = check_budget("cp_resnet_damped:num_classes=3")
    assert verdict.what_if == {"float32": 970_368, "float16": 485_184, "int8": 242_592}
    assert not verdict.within
    assert verdict.batch_norm == 3_366
    assert verdict.multiply_adds == 1_100_458_758


def test_a_half_precision_network_is_counted_as_it_is():
    assert check_budget(network_of_ones(256_000).half()).within
    assert not check_budget(network_of_ones(256_000).half(), precision="float32").within


def test_largest_layers_come_first_and_batch_norm_is_not_among_them():
    network = nn.Sequential(nn.BatchNorm1d(900), nn.Linear(9, 9), nn.Linear(30, 30), nn.Linear(20, 20), nn.Linear(5, 5))
    assert [row.name for row in check_budget(network).largest] == ["2", "3", "1"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"rule": "dcase2020-task1"}, "did you mean 'dcase2020-task1b'?"),
        ({"rule": "???"}, f"known: {', '.join(RULES)}"),
        ({"precision": "float61"}, "did you mean 'float16'?"),
    ],
)
def test_unknown_names_get_a_suggestion(arguments, hint):
    with pytest.raises(ConfigError) as caught:
        check_budget(network_of_ones(2), **arguments)
    assert caught.value.hint == hint


@pytest.mark.slow
def test_model_file_is_counted_as_its_network(tmp_path):
    network = build_model("cp_resnet_damped", num_classes=3)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    architecture = {"name": "cp_resnet_damped", "num_classes": 3, "options": {}}
    spec, mean, std = load_spec("pmel256"), np.zeros((1, 256, 1)), np.ones((1, 256, 1))
    file = ModelFile(network, architecture, ["a", "b", "c"], spec.shape, mean, std, spec)
    save_model(tmp_path / "run" / "seed0" / "model.safetensors", file)
    for source in (tmp_path / "run", tmp_path / "run" / "seed0", str(tmp_path / "run" / "seed0" / "model.safetensors")):
        verdict = check_budget(source, precision="float16")
        assert (verdict.bytes, verdict.multiply_adds) == (485_184, 1_100_458_758)


def test_unknown_networks_and_files(tmp_path):
    with pytest.raises(ModelError) as caught:
        check_budget("cp_resnet_dampd:num_classes=3")
    assert caught.value.hint == "did you mean 'cp_resnet_damped'?"
    with pytest.raises(RunError):
        check_budget(tmp_path / "no_such_run")
    with pytest.raises(RunError):
        check_budget("model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(DamagedFileError):
        check_budget(tmp_path / "model.safetensors")


def test_unknown_option_of_a_network():
    with pytest.raises(ModelError, match="widht"):
        check_budget("cp_resnet:widht=48")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (495_124, "495,124 bytes (483.5 KB)"),
        (485_184, "485,184 bytes (473.8 KB)"),
        (35_040, "35,040 bytes (34.22 KB)"),
        (512_000, "512,000 bytes (500 KB)"),
        (128_000, "128,000 bytes (125 KB)"),
        (131_072, "131,072 bytes (128 KB)"),
        (1_023, "1,023 bytes"),
        (0, "0 bytes"),
        (1_048_576, "1,048,576 bytes (1 MB)"),
    ],
)
def test_format_of_sizes(size, text):
    assert exact_size(size) == text


@pytest.mark.slow
def test_table_fits_80_columns():
    text = print_verdict(check_budget("cp_resnet_damped:num_classes=3", precision="float16"))
    assert max(map(len, text.splitlines())) <= 80
    for expected in (
        "245,958",
        "1,100.46",
        "within",
        "485,184 bytes (473.8 KB), 26,816 bytes (26.19 KB) to spare",
        "float32 947.6 KB (over), float16 473.8 KB, int8 236.9 KB",
        "242,592 non-zero values",
        "3,366 values of batch normalisation",
    ):
        assert expected in text
    assert "13,689,856 bytes (13.06 MB) too much" in print_verdict(check_budget("cp_resnet"))


def test_long_layer_names_are_shortened_in_the_middle():
    network = nn.Module()
    network.add_module("encoder_of_the_first_channel", nn.Sequential(nn.Sequential(nn.Linear(2, 2))))
    text = print_verdict(check_budget(network))
    assert "encoder_of_t…channel.0.0" in text


def test_record_is_plain_and_complete():
    record = json.loads(json.dumps(verdict_record(check_budget("cp_resnet_damped:num_classes=3", precision="float16"))))
    assert (record["bytes"], record["limit"], record["within"]) == (485_184, 512_000, True)
    assert sum(layer["parameters"] for layer in record["layers"]) == record["parameters"] == 245_958
    assert sum(layer["multiply_adds"] for layer in record["layers"]) == record["multiply_adds"] == 1_100_458_758
    assert (record["input_shape"], record["multiply_adds_headroom"], record["grey"]) == ([2, 256, 431], None, False)
    assert (record["verdict"], record["not_counted"], record["nessi"]) == ("within", [], None)


def test_networks_that_work_together_are_counted_together():
    alone = check_budget(network_of_ones(100_000))
    together = sum_verdicts([alone, check_budget(network_of_ones(50_000))])
    assert alone.within
    assert not together.within
    assert (together.bytes, together.parameters, together.counted) == (600_000, 150_000, 150_000)
    assert together.what_if == {"float32": 600_000, "float16": 300_000, "int8": 150_000}


def test_a_network_over_a_limit_is_refused():
    check_budget(network_of_ones(128_000)).require_within("this network", "choose another")
    with pytest.raises(BudgetError) as caught:
        check_budget(network_of_ones(128_001)).require_within("this network", "choose another")
    message = "this network is over the limit of DCASE 2020 task 1B: 512,004 bytes (500 KB), 4 bytes too much"
    assert (str(caught.value), caught.value.hint, caught.value.exit_code) == (message, "choose another", 1)


def test_both_limits_are_named():
    verdict = check_budget(nn.Conv2d(1, 128_001, 1), "dcase2024-task1", input_shape=(1, 100, 10))
    with pytest.raises(
        BudgetError, match=r"bytes .* too much; 256,002,000 MACs for 1 x 100 x 10, 226,002,000 too many"
    ):
        verdict.require_within("this network", "")
