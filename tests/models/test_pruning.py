"""Pruning by magnitude: masks equal to those of torch, values that come back, the ramps."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model
from asc_mrkd.models.pruning import (
    amount_to_keep,
    attach_masks,
    magnitude_masks,
    prunable_layers,
    prune,
    ramp_factor,
    set_masks,
    without_masks,
)

SUBMISSION_2 = {"num_classes": 3, "rho": 4, "width": 64, "blocks": [4, 2, 0], "damping": 0.1}
"""The pruned and damped network of Koutini et al., DCASE 2020."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = build_model("cp_resnet", **SUBMISSION_2, init="kaiming")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.bias)  # the pruned values are the only zeros
    return model


def test_weights_under_another_parametrisation_stay_as_they_are():
    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 3))

    network = build()
    assert list(prunable_layers(network)) == ["1"]
    pruned = prune(network, 0.5)
    assert pruned.state_dict().keys() == network.state_dict().keys()
    build().load_state_dict(pruned.state_dict())
    assert zeros(pruned) == 6
    x = torch.randn(2, 6)
    assert torch.equal(pruned[0](x), network[0](x))


def zeros(model: nn.Module) -> int:
    return sum(int((parameter == 0).sum()) for parameter in model.parameters())


def test_the_published_target(network):
    assert sum(layer.weight.numel() for layer in prunable_layers(network).values()) == 265_728
    assert amount_to_keep(network, 250_000) == pytest.approx(0.068363, abs=5e-7)
    pruned = prune(network, amount_to_keep(network, 250_000))
    assert sum(p.numel() for p in pruned.parameters()) == 268_166
    assert sum(int(p.count_nonzero()) for p in pruned.parameters() if p.dim() > 1) == 247_562
    assert zeros(network) == 0  # the network itself is left as it is


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 0.93])
def test_global_masks_are_those_of_torch(network, amount):
    layers = prunable_layers(network)
    masks = magnitude_masks({name: layer.weight for name, layer in layers.items()}, amount)
    count = round(amount * (265_728 - 1))
    pairs = [(layer, "weight") for layer in layers.values()]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=count)
    for name, layer in layers.items():
        assert torch.equal(masks[name], layer.weight_mask)


def test_layer_masks_are_those_of_torch(network):
    layers = prunable_layers(network)
    masks = magnitude_masks({name: layer.weight for name, layer in layers.items()}, 0.4, "layer")
    for name, layer in layers.items():
        torch_prune.l1_unstructured(layer, "weight", amount=round(0.4 * (layer.weight.numel() - 1)))
        assert torch.equal(masks[name], layer.weight_mask)


def test_only_small_kernels(network):
    pruned = prune(network, 0.5, kernels="1x1")
    for name, layer in prunable_layers(pruned).items():
        assert (zeros(layer) > 0) == (layer.kernel_size == (1, 1)), name


def test_a_value_can_come_back(network):
    attach_masks(network)
    set_masks(network, 0.5)
    half = zeros(without_masks(network))
    set_masks(network, 0.1)
    assert 0 < zeros(without_masks(network)) < half
    original = network.stem[0].parametrizations.weight.original
    assert int((original == 0).sum()) == 0


def test_masked_weights_are_used_and_get_no_gradient(network):
    x = torch.randn(2, 2, 64, 64)
    expected = prune(network.eval(), 0.5)(x)
    attach_masks(network)
    set_masks(network, 0.5)
    y = network(x)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    for layer in prunable_layers(network).values():
        gradient = layer.parametrizations.weight.original.grad
        assert torch.all(gradient[layer.parametrizations.weight[0].mask == 0] == 0)


def test_ramps():
    assert [ramp_factor(epoch, "linear", 50) for epoch in (0, 10, 50, 99)] == [0, 0.2, 1, 1]
    assert ramp_factor(0, "exp", 50) == pytest.approx(0.36787944)
    assert ramp_factor(50, "exp", 50) == 1


def test_impossible_pruning_is_explained(network):
    with pytest.raises(ModelError, match="no weight to prune"):
        prune(nn.BatchNorm2d(3), 0.5)
    with pytest.raises(ModelError, match="cannot be kept"):
        amount_to_keep(network, 1_000)
