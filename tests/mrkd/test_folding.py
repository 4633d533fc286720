"""Copies that run faster: folded normalisation gives the same, and no push compiles anything again."""

import copy

import pytest
import torch
from helpers.mrkd import make_batch, make_network
from torch import nn
from torch.nn import functional as F

from asc_mrkd.models import build_model
from asc_mrkd.mrkd import Backups
from asc_mrkd.mrkd.folding import fold_normalisation


class Block(nn.Module):
    """A convolution, something done to its output, and a normalisation."""

    def __init__(self, between: str):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)
        self.between = between

    def forward(self, x):
        y = self.conv(x)
        if self.between == "relu":
            F.relu_(y)
        z = self.norm(y)
        if self.between == "sum":
            z = z + y
        if self.between == "twice":
            z = self.norm(self.conv(x.flip(2))) + z
        return self.head(z.mean((2, 3)))


def trained(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return the network in evaluation mode, with statistics and weights of its normalisation that matter."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
        for _ in range(3):
            network.train()(x)
    return network.eval()


def normalisations(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("resnet20", {"depth": 8, "width": 4}, (5, 3, 12, 12)),
        ("cp_resnet", {"width": 4, "blocks": [2, 1, 0], "init": "kaiming"}, (3, 2, 32, 40)),
    ],
)
def test_a_folded_network_is_the_same_function(name, options, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    network = trained(build_model(name, 3, **options), x)
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        folded = fold_normalisation(network, x, {})
        assert normalisations(folded) == 0
        other = torch.randn(shape)
        torch.testing.assert_close(folded(other), network(other), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(("between", "left"), [("", 0), ("relu", 1), ("sum", 1), ("twice", 1)])
def test_what_cannot_be_folded_is_left_alone(between, left):
    torch.manual_seed(0)
    x, _ = make_batch()
    network = trained(Block(between), x)
    folded = fold_normalisation(network, x, {})
    assert normalisations(folded) == left
    torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)


def test_layers_whose_weights_are_computed_are_left_alone():
    torch.manual_seed(0)
    x, _ = make_batch()
    network = make_network()
    torch.nn.utils.parametrizations.weight_norm(network[0])
    folded = fold_normalisation(trained(network, x), x, {})
    assert normalisations(folded) == 1
    torch.testing.assert_close(folded(x), network(x))


def test_backups_are_folded_where_rounding_differs_anyway():
    torch.manual_seed(0)
    x = torch.randn(5, 3, 12, 12)
    model = trained(build_model("resnet20", 3, depth=8, width=8), x).train()
    ring = Backups(model, 2)
    ring.push(model)
    assert torch.equal(ring(x, 1)[0], copy.deepcopy(model).eval()(x))
    model.to(memory_format=torch.channels_last)
    for bias in (2.0, 3.0):
        with torch.no_grad():
            model.linear.bias.fill_(bias)
        ring.push(model)
        torch.testing.assert_close(ring(x, 1)[0], copy.deepcopy(model).eval()(x), rtol=1e-4, atol=1e-4)
        assert normalisations(ring._runners[0]) == 0
        with torch.autocast("cpu", torch.bfloat16):
            assert ring(x, 1).dtype == torch.bfloat16


class NamedInput(nn.Module):
    """A network that hands its normalisation the input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.normalisation = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.normalisation(input=self.convolution(x)).mean((2, 3))


def test_a_network_that_cannot_be_looked_into_runs_as_it_is():
    network = NamedInput().eval()
    assert fold_normalisation(network, torch.ones(1, 3, 5, 5), {}) is network


def test_backups_of_a_compiled_student_share_one_program():
    programs = []

    def backend(graph, inputs):
        programs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    x, _ = make_batch()
    network = make_network()
    ring = Backups(torch.compile(network, backend=backend, dynamic=False), 3)
    for step in range(5):
        network(x)
        ring.push(network)
        assert torch.equal(ring(x, 1)[0], copy.deepcopy(network).eval()(x))
        if step == 2:
            torch.testing.assert_close(ring(x)[0], ring(x, 1)[0])
    assert len(programs) == 1
