"""Weights that are not plain parameters: masked, parametrised, sparse, quantised."""

import copy

import pytest
import torch
import torchinfo
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from asc_mrkd.budget import check_budget, count_layers
from asc_mrkd.budget.count import count_multiply_adds
from asc_mrkd.errors import ModelError
from asc_mrkd.models import MODELS, build_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Sparse CSR:UserWarning")


def linear(inside=10, outside=4):
    layer = nn.Linear(inside, outside)
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    return layer


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), linear(16, 3))


def test_pruned_weight_is_zero_where_it_is_masked():
    model = network()
    nn.init.ones_(model[0].weight)
    prune.l1_unstructured(model[0], "weight", amount=10)
    prune.random_unstructured(model[0], "weight", amount=6)
    prune.random_unstructured(model[3], "bias", amount=1)
    model(torch.zeros(1, 1, 4, 4))
    rows = count_layers(model, (1, 4, 4))
    assert [(row.parameters, row.non_zero) for row in rows] == [(40, 40 - 16), (51, 50)]
    for layer, name in ((model[0], "weight"), (model[3], "bias")):
        prune.remove(layer, name)
    assert count_layers(model, (1, 4, 4)) == rows


def test_a_shared_weight_counts_what_any_of_its_layers_needs():
    first, second, third = (nn.Linear(20, 20, bias=False) for _ in range(3))
    third.weight = second.weight = first.weight
    keep = torch.zeros(2, 20, 20)
    keep[0, :8] = 1
    keep[1, 5:12] = 1
    for layer, mask in zip((first, second), keep, strict=True):
        prune.custom_from_mask(layer, "weight", mask)
    assert [row.non_zero for row in count_layers(nn.Sequential(first, second))] == [12 * 20, 0]
    assert [row.non_zero for row in count_layers(nn.Sequential(first, second, third))] == [400, 0, 0]


def test_a_mask_that_was_changed_after_the_last_forward_pass():
    layer = linear()
    prune.identity(layer, "weight")
    layer.weight_mask[:2] = 0
    (row,) = count_layers(layer)
    assert row.non_zero == 24


class Halve(nn.Module):
    def forward(self, weight):
        return torch.cat([weight[:2], torch.zeros_like(weight[2:])])


def test_parametrised_weight():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten())
    parametrize.register_parametrization(model[0], "weight", Halve())
    (row,) = count_layers(model, (1, 5, 5))
    assert (row.name, row.kind, row.parameters, row.non_zero, row.multiply_adds) == ("0", "Conv2d", 36, 18, 36 * 9)


@pytest.mark.parametrize(
    "normalise", [weight_norm, spectral_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_normalised_weight_counts_once(normalise):
    layer = normalise(linear())
    layer(torch.ones(2, 10))
    before = copy.deepcopy(layer.state_dict())
    (row,) = count_layers(layer, (10,))
    assert (row.parameters, row.non_zero, row.multiply_adds) == (44, 44, 44)
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("convert", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
def test_sparse_weight_counts_the_values_that_it_lists(convert):
    layer = linear()
    dense = layer.weight.detach().clone()
    dense[1:] = 0
    layer.weight = nn.Parameter(convert(dense).half())
    (row,) = count_layers(layer, (10,))
    assert (row.parameters, row.non_zero, row.bytes, row.multiply_adds) == (14, 14, 10 * 2 + 4 * 4, 44)


def test_dynamically_quantised_layers():
    model = nn.Sequential(linear(5, 4), nn.LSTM(4, 3))
    for parameter in model.parameters():
        nn.init.ones_(parameter)  # a small value would become zero
    kinds = {nn.Linear, nn.LSTM}
    quantised = torch.ao.quantization.quantize_dynamic(model, kinds, dtype=torch.qint8)
    assert [(r.kind, r.parameters, r.bytes, r.dtype) for r in count_layers(quantised)] == [
        ("Linear", 24, 20 + 4 * 4, "int8+float32"),
        ("LSTM", 108, 84 + 24 * 4, "int8+float32"),
    ]
    assert check_budget(quantised).what_if == {"float32": 132 * 4, "float16": 132 * 2, "int8": 132}


def test_zero_of_a_quantised_weight_is_its_zero_point():
    layer = torch.ao.nn.quantized.Linear(4, 2)
    weight = torch.tensor([[0.0, 1.0, 2.0, 0.0], [0.0, 0.0, -1.0, 3.0]])
    layer.set_weight_bias(torch.quantize_per_tensor(weight, 0.1, 7, torch.qint8), torch.ones(2))
    (row,) = count_layers(layer)
    assert (row.parameters, row.non_zero, row.non_zero_bytes) == (10, 6, 4 + 2 * 4)


def test_unknown_dtype_is_an_error():
    layer = nn.Linear(2, 2, dtype=torch.complex64)
    with pytest.raises(ModelError, match="layer 1 is stored as complex64"):
        count_layers(nn.Sequential(linear(), layer))


@pytest.mark.parametrize(
    ("dtype", "width"),
    [(torch.int8, 1), (torch.uint8, 1), (torch.int16, 2), (torch.int32, 4), (torch.int64, 8), (torch.float8_e4m3fn, 1)],
)
def test_widths(dtype, width):
    layer = nn.Linear(4, 2, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[0, 1, 2, 3]] * 2).to(dtype), requires_grad=False)
    (row,) = count_layers(layer, (4,))
    assert (row.bytes, row.non_zero_bytes, row.multiply_adds) == (8 * width, 6 * width, 8)


def test_lazy_and_scripted_networks_are_explained():
    with pytest.raises(ModelError, match="has no shape yet"):
        count_layers(nn.Sequential(nn.LazyLinear(3)))
    scripted = torch.jit.trace(linear(), torch.zeros(1, 10))
    assert sum(row.parameters for row in count_layers(scripted)) == 44
    with pytest.raises(ModelError, match="TorchScript"):
        count_layers(scripted, (10,))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.gru, self.attention = (
            nn.LayerNorm(6),
            nn.GRU(6, 5, batch_first=True),
            nn.MultiheadAttention(5, 1),
        )
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x, _ = self.gru(self.norm(x))
        return self.head(self.attention(x, x, x)[0])


CATALOGUE = [(name, (entry.defaults["in_channels"], *entry.plane)) for name, entry in MODELS.items()]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), [*CATALOGUE, ("recurrent", (7, 6)), ("transposed", (3, 9, 9))])
def test_multiply_adds_are_those_of_torchinfo(name, shape):
    others = {
        "recurrent": Recurrent,
        "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.PReLU(4)),
    }
    with torch.device("meta"):
        model = others[name]() if name in others else build_model(name, 10)
    expected = torchinfo.summary(model, input_size=(1, *shape), device="meta", verbose=0).total_mult_adds
    assert sum(count_multiply_adds(model, shape).values()) == expected
