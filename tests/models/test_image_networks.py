"""The image networks: their published sizes, their options, their first weights."""

import json

import pytest
import torch
from helpers.cli import run_cli
from helpers.models import small_image_network
from torch import nn

from asc_mrkd.budget import check_budget
from asc_mrkd.errors import ModelError
from asc_mrkd.models import MODELS, build_model
from asc_mrkd.schema import parse_call

SIZES = {
    "resnet20": (269_722, 275_572, 19),
    "resnet20:shortcut=B": (272_474, 278_324, 21),
    "resnet32": (464_154, 470_004, 31),
    "resnet32:shortcut=B": (466_906, 472_756, 33),
    "resnet44": (658_586, 664_436, 43),
    "resnet44:shortcut=B": (661_338, 667_188, 45),
    "resnet56": (853_018, 858_868, 55),
    "resnet56:shortcut=B": (855_770, 861_620, 57),
    "resnet110": (1_727_962, 1_733_812, 109),
    "resnet110:shortcut=B": (1_730_714, 1_736_564, 111),
    "resnet164": (1_703_258, 1_726_388, 163),
    "wrn_16_8": (10_961_370, 11_007_540, 13),
    "wrn_28_10": (36_479_194, 36_536_884, 25),
    "resnext29_8x64d": (34_426_698, 34_518_948, 31),
    "resnext29_8x64d:cardinality=16": (68_155_210, 68_247_460, 31),
}
"""Number of parameters with 10 and with 100 classes, and of batch normalisations."""

MILLION_MULTIPLY_ADDS = {
    "resnet20": 40.6,
    "resnet20:shortcut=B": 40.8,
    "resnet32": 68.9,
    "resnet32:shortcut=B": 69.1,
    "resnet44": 97.2,
    "resnet44:shortcut=B": 97.4,
    "resnet56": 125.5,
    "resnet56:shortcut=B": 125.8,
    "resnet110": 252.9,
    "resnet110:shortcut=B": 253.2,
    "resnet164": 247.7,
    "wrn_16_8": 1548,
    "wrn_28_10": 5243,
    "resnext29_8x64d": 5387,
}
"""Multiply-adds of one image of 32 x 32 with 100 classes, in millions."""


def build(spec: str, num_classes: int = 10, **options: object) -> nn.Module:
    """Build a network without storage."""
    name, written = parse_call(spec)
    with torch.device("meta"):
        return build_model(name, num_classes, **(written | options))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize(("spec", "sizes"), SIZES.items())
def test_parameters(spec, sizes, classes):
    model = build(spec, classes)
    assert sum(p.numel() for p in model.parameters()) == sizes[classes == 100]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == sizes[2]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "expected"), MILLION_MULTIPLY_ADDS.items())
def test_multiply_adds(spec, expected):
    budget = check_budget(f"{spec}{',' if ':' in spec else ':'}num_classes=100")
    assert round(budget.multiply_adds / 1e6, 1 if expected < 1000 else None) == expected


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize(
    ("name", "layers", "rest", "projections"),
    [("resnet20", 6, 2, 0), ("resnet164", 9, 2, 3), ("wrn_16_8", 6, 4, 3), ("resnext29_8x64d", 9, 2, 3)],
)
def test_depth(name, layers, rest, projections, n):
    """The depth counts convolutions of the branches and the classifier, in wide networks the projections too."""
    model = build(name, depth=layers * n + rest)
    convolutions = [key for key, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    on_shortcuts = sum("shortcut" in key for key in convolutions)
    assert on_shortcuts == projections
    assert len(convolutions) + (0 if name == "wrn_16_8" else 1 - on_shortcuts) == layers * n + rest


def test_sizes_channels_and_branch_points(spec):
    model = small_image_network(spec, in_channels=2)
    sizes = []
    for name in model.branch_points:
        model.get_submodule(name).register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[2:])))
    assert model(torch.randn(2, 2, 32, 32)).shape == (2, 7)
    assert model(torch.randn(1, 2, 25, 40)).shape == (1, 7)
    assert sizes == [(32, 32), (16, 16), (25, 40), (13, 20)]


@pytest.mark.parametrize("name", ["cp_resnet", "cp_resnet_damped"])
def test_branch_points_of_cp_resnet(name):
    model = build(name)
    channels = [model.get_submodule(point)[-1].conv2.out_channels for point in model.branch_points[1:]]
    assert channels == [2 * MODELS[name].defaults["width"]]
    assert model.get_submodule(model.branch_points[0]) is model.stages[0]


def test_initial_weights():
    torch.manual_seed(0)
    model = build_model("resnet20", 10, width=64)
    assert model.layer3[1].conv2.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)
    assert model.layer3[0].conv1.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01), "fan-out"
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) and not norm.bias.any() for norm in norms)
    assert model.linear.weight.abs().max().item() == pytest.approx(256**-0.5, rel=0.01), "uniform, as torch has it"


def test_dropout_acts_in_training_only():
    model = small_image_network("wrn_16_8", dropout=0.3)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(model(x), model(x))
    for module in model.modules():
        module.training = isinstance(module, nn.Dropout)
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("resnet20:depth=21", "depth 21 is not 6 n \\+ 2", "depth=20"),
        ("resnet20:depth=2", "depth 2 is not 6 n \\+ 2", "depth=8"),
        ("resnet164:depth=163", "depth 163 is not 9 n \\+ 2", "depth=164"),
        ("resnext29_8x64d:depth=28", "depth 28 is not 9 n \\+ 2", "depth=29"),
        ("wrn_28_10:depth=27", "depth 27 is not 6 n \\+ 4", "depth=28"),
        ("wrn_28_10:depth=deep", "wrn_28_10", "asc-mrkd models"),
        ("resnet20:shortcut=C", "C is not a valid shortcut", "shortcut=A or shortcut=B"),
        ("wrn_28_10:dropout=1", "dropout 1.0 is not", "dropout=0.3"),
        ("wrn_28_10:width=0", "width must be at least 1, not 0", "width=1"),
        ("resnext29_8x64d:cardinality=0", "cardinality must be at least 1", "cardinality=1"),
        ("resnet20:in_channels=0", "in_channels must be at least 1", "in_channels=1"),
        ("resnet164:shortcut=A", "no option 'shortcut'", "known: "),
    ],
)
def test_impossible_options(spec, message, hint):
    with pytest.raises(ModelError, match=message) as caught:
        build(spec)
    assert hint in caught.value.hint


@pytest.mark.slow
def test_models_are_listed_with_their_sizes_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run_cli("models").out
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"{name} " in out for name in MODELS)
    assert "in_channels=3 depth=20 width=16" in out
    assert "[" not in out
    assert ["cp_resnet_damped", "247,316", "1,101.0"] in [line.split()[:3] for line in out.splitlines()]
    records = {record["name"]: record for record in json.loads(run_cli("models", "--json").out)}
    assert records["resnet110"]["options"]["shortcut"] == "A"
    assert records["resnet20"]["multiply_adds"] == check_budget("resnet20").multiply_adds
    assert records["resnet20"]["ram"] == 49_152
    assert records["cp_resnet"]["parameters"] == 3_566_612
