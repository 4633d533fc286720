"""The limits of every rule: both readings of 128 KB, assumed and stored widths, multiply-adds, statistics."""

import pytest
import torch
from helpers.budget import network_of_ones, print_verdict
from torch import nn

from asc_mrkd.budget import RULES, check_budget
from asc_mrkd.errors import ConfigError


@pytest.mark.parametrize(
    ("size", "within", "grey"),
    [(128_000, True, False), (128_001, False, True), (131_072, False, True), (131_073, False, False)],
)
def test_both_readings_of_128_kb(size, within, grey):
    verdict = check_budget(network_of_ones(size), "dcase2021-task1a", precision="int8")
    assert (verdict.within, verdict.grey) == (within, grey)
    assert ("grey  " in print_verdict(verdict), "over  " in print_verdict(verdict)) == (grey, not within and not grey)


def test_grey_zone_is_explained():
    text = " ".join(print_verdict(check_budget(network_of_ones(130_000), "dcase2021-task1a", precision="int8")).split())
    assert "2,000 bytes (1.953 KB) too much; 1,072 bytes (1.047 KB) to spare if the limit is 131,072 bytes" in text


@pytest.mark.parametrize("rule", ["dcase2022-task1", "dcase2023-task1"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_int8_is_assumed_and_zeros_count(rule, dtype):
    network = nn.Linear(128_000, 1, bias=False, dtype=dtype)
    nn.init.zeros_(network.weight)
    assert check_budget(network, rule, "float32", (128_000,)).bytes == 128_000
    assert check_budget(network, rule, input_shape=(128_000,)).within
    assert not check_budget(nn.Linear(128_000, 1, dtype=dtype), rule, input_shape=(128_000,)).within


@pytest.mark.parametrize("rule", ["dcase2024-task1", "dcase2025-task1"])
def test_bytes_as_stored_and_zeros_count(rule):
    network = nn.Linear(64_000, 1, bias=False).half()
    nn.init.zeros_(network.weight)
    assert check_budget(network, rule, input_shape=(64_000,)).headroom == 0
    assert not check_budget(network.float(), rule, input_shape=(64_000,)).within


def convolution(columns):
    """Return a network with 30,000 multiply-adds per column of its input, and the input shape (1, 100, `columns`)."""
    return nn.Conv2d(1, 300, 1, bias=False), (1, 100, columns)


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.multiply_adds])
def test_the_edge_of_the_multiply_adds(rule):
    network, shape = convolution(1_000)
    verdict = check_budget(network, rule, input_shape=shape)
    assert (verdict.within, verdict.multiply_adds, verdict.multiply_adds_headroom) == (True, 30_000_000, 0)
    verdict = check_budget(network, rule, input_shape=(*shape[:2], 1_001))
    assert (verdict.within, verdict.headroom > 0, verdict.multiply_adds_headroom) == (False, True, -30_000)
    assert "30,030,000 MACs for 1 x 100 x 1001, 30,000 too many" in print_verdict(verdict)


def test_a_limit_of_multiply_adds_wants_an_input_shape():
    with pytest.raises(ConfigError, match="dcase2024-task1 limits the multiply-adds") as caught:
        check_budget(network_of_ones(3), "dcase2024-task1")
    assert "--input-shape" in caught.value.hint


def test_input_shape_of_ones_own():
    assert check_budget("cp_resnet_damped", input_shape=(2, 256, 44)).multiply_adds < 120_000_000


def test_running_statistics_count_in_2021_only():
    network = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False))
    nn.init.ones_(network[1].running_mean)
    counted = {name: check_budget(network, name, input_shape=(1, 2, 2)).counted for name in RULES}
    assert counted == {name: 12 if name == "dcase2021-task1a" else 4 for name in RULES}
    assert [check_budget(network, name).buffers for name in ("dcase2020-task1b", "dcase2021-task1a")] == [9, 1]


def test_multiply_adds_without_a_limit_are_exact_too():
    text = print_verdict(check_budget("cp_resnet:num_classes=3,rho=3,width=48,blocks=4,0,0,decomposition=4"))
    assert "211,232,934 MACs for 2 x 256 x 431" in text
