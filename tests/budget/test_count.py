"""Counting a torch network: published figures, multiply-adds by hand, zeros, shared and reused layers."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from asc_mrkd.budget import count_layers
from asc_mrkd.budget.count import count_multiply_adds
from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model


def small_network():
    """Return a network for inputs of 1 x 40 x 500."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 7), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize(
    ("options", "parameters", "multiply_adds"),
    [
        ({"name": "cp_resnet", "num_classes": 10}, 3_566_612, 8_414_509_076),
        ({"name": "cp_resnet_damped", "num_classes": 3}, 245_958, 1_100_458_758),
    ],
)
def test_published_figures_of_cp_resnet(options, parameters, multiply_adds):
    rows = count_layers(build_model(**options), input_shape=(2, 256, 431))
    assert sum(row.parameters for row in rows) == parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds


def test_multiply_adds_by_hand():
    network = nn.Sequential(
        nn.Conv2d(4, 8, (3, 5), padding=(1, 2), groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)
    )
    rows = count_layers(network, input_shape=(4, 10, 12))
    assert [row.multiply_adds for row in rows] == [(4 // 2) * 8 * 3 * 5 * 10 * 12, 2 * 8]


def test_multiply_adds_do_not_depend_on_the_stored_precision():
    network = small_network()
    assert count_multiply_adds(copy.deepcopy(network).half(), (1, 40, 500)) == count_multiply_adds(
        network, (1, 40, 500)
    )


def test_counting_leaves_the_network_alone():
    network = small_network().half().train()
    before = copy.deepcopy(network.state_dict())
    count_layers(network, input_shape=(1, 40, 500))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert next(network.parameters()).dtype == torch.float16


def test_wrong_input_shape_is_explained():
    with pytest.raises(ModelError, match="does not accept an input of 3 x 40 x 500"):
        count_layers(small_network(), input_shape=(3, 40, 500))


def test_zeros_are_told_apart():
    layer = nn.Linear(10, 10)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight[:3] = 0.0
    (row,) = count_layers(layer)
    assert (row.parameters, row.non_zero, row.bytes, row.non_zero_bytes) == (110, 70, 440, 280)


def test_shared_weight_counts_once():
    first, second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    second.weight = first.weight
    rows = count_layers(nn.Sequential(first, second), input_shape=(1, 6))
    assert [row.parameters for row in rows] == [36, 0]
    assert [row.dtype for row in rows] == ["float32", "shared"]
    assert [row.multiply_adds for row in rows] == [36, 36]


def test_layer_used_twice_counts_once_but_works_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 5, bias=False)

        def forward(self, x):
            return self.layer(self.layer(x))

    (row,) = count_layers(Twice(), input_shape=(5,))
    assert (row.parameters, row.multiply_adds) == (25, 50)


def test_damped_convolution_counts_its_stored_weight():
    torch.manual_seed(0)  # a random weight may be zero
    plain = count_layers(build_model("cp_resnet_damped", num_classes=3, damping=None))
    torch.manual_seed(0)
    damped = count_layers(build_model("cp_resnet_damped", num_classes=3))
    assert [(r.name, r.parameters, r.non_zero) for r in damped] == [(r.name, r.parameters, r.non_zero) for r in plain]


@pytest.mark.parametrize(
    ("dtype", "width"), [(torch.float64, 8), (torch.float32, 4), (torch.float16, 2), (torch.bfloat16, 2)]
)
def test_width_follows_the_dtype(dtype, width):
    (row,) = count_layers(nn.Linear(8, 4, dtype=dtype))
    assert row.bytes == 36 * width


def test_precision_recounts_only_floating_values():
    layer = nn.Linear(4, 2)
    layer.weight = nn.Parameter(torch.ones(2, 4, dtype=torch.int8), requires_grad=False)
    (row,) = count_layers(layer, precision="float16")
    assert row.bytes == 8 * 1 + 2 * 2
    assert row.dtype == "int8+float16"


def test_rows_are_immutable():
    (row,) = count_layers(nn.Linear(2, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.parameters = 0
