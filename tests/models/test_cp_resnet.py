"""CP-ResNet: published sizes and receptive fields, first weights, damping, wrong options."""

import math

import pytest
import torch
from torch import nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model
from asc_mrkd.models.cp_resnet import (
    CPResNet,
    DampedConv2d,
    ResidualBlock,
    frequency_damper,
    with_frequency_position,
)
from asc_mrkd.schema import parse_call


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


STEREO = {
    0: 2_911_252,
    1: 3_042_324,
    2: 3_173_396,
    3: 3_304_468,
    4: 3_435_540,
    5: 3_566_612,
    6: 3_697_684,
    7: 3_959_828,
    8: 4_484_116,
    9: 5_008_404,
    10: 5_532_692,
    12: 6_581_268,
    14: 7_629_844,
    15: 8_678_420,
    18: 14_969_876,
    21: 21_261_332,
}
MONO = {0: 2_908_052, 1: 3_039_124, 2: 3_170_196, 3: 3_301_268, 4: 3_432_340, 5: 3_563_412, 6: 3_694_484, 7: 3_956_628}


@pytest.mark.parametrize(("rho", "expected"), STEREO.items())
def test_parameters_stereo(rho, expected):
    with torch.device("meta"):
        assert parameters(CPResNet(10, rho=rho)) == expected


@pytest.mark.parametrize(("rho", "expected"), MONO.items())
def test_parameters_mono(rho, expected):
    with torch.device("meta"):
        assert parameters(CPResNet(10, in_channels=1, rho=rho)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("cp_resnet:num_classes=10,rho=6,blocks=4,3,4", 3_565_588),
        ("cp_resnet:num_classes=10,width=64,blocks=4,4,1", 502_292),
        ("cp_resnet:num_classes=10,rho=0,blocks=4,3,0", 670_228),
        ("cp_resnet:num_classes=10,frequency_aware=true", 3_579_924),
        ("cp_resnet:num_classes=10,frequency_aware=true,rho=7", 3_976_212),
        ("cp_resnet:num_classes=3,rho=3,width=48,blocks=4,0,0,decomposition=4", 18_390),
        ("cp_resnet:num_classes=10,rho=3,width=48,blocks=4,0,0,decomposition=4", 18_740),
        ("cp_resnet:num_classes=10,rho=0,blocks=4,3,0,decomposition=4", 338_452),
        ("cp_resnet:num_classes=3,rho=4,width=64,blocks=4,2,0", 268_166),
        ("cp_resnet_damped:num_classes=3", 245_958),
        ("cp_resnet_damped:num_classes=10", 247_316),
    ],
)
def test_parameters_of_published_variants(spec, expected):
    name, options = parse_call(spec)
    assert parameters(build_model(name, **options)) == expected


def test_batch_norm_share_of_the_paper_network():
    scale_and_shift = [p for m in CPResNet(10).modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    assert sum(p.numel() for p in scale_and_shift) == 16_148


def test_non_zero_at_initialisation():
    torch.manual_seed(0)  # one draw in 2**24 or so is exactly zero
    model = build_model("cp_resnet", 10, rho=0, blocks=[4, 3, 0])
    assert sum(int(p.count_nonzero()) for p in model.parameters()) == 402_570


TRUE_FIELD = {
    0: 23,
    1: 31,
    2: 39,
    3: 55,
    4: 71,
    5: 87,
    6: 103,
    7: 135,
    8: 167,
    9: 199,
    10: 231,
    11: 263,
    12: 295,
    15: 391,
    20: 551,
    21: 583,
}


@pytest.mark.parametrize(("rho", "expected"), TRUE_FIELD.items())
def test_receptive_field_of_the_table(rho, expected):
    with torch.device("meta"):
        assert CPResNet(10, rho=rho).receptive_field == expected


@pytest.mark.parametrize("rho", [0, 3, 5, 7])
def test_receptive_field_by_gradient(rho):
    """Count the inputs that one output depends on; averages replace the maxima, which pass on one input only."""
    model = CPResNet(1, in_channels=1, rho=rho, width=2, init="kaiming").double().eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.abs() + 0.1
    x = torch.ones(1, 1, 420, 420, dtype=torch.double, requires_grad=True)
    y = model.stem(x)
    for stage in model.stages:
        for layer in stage:
            y = nn.functional.avg_pool2d(y, 2) if isinstance(layer, nn.MaxPool2d) else layer(y)
    middle = y.shape[2] // 2
    (gradient,) = torch.autograd.grad(y[0, :, middle, middle].sum(), x)
    for axis in (0, 1):
        touched = gradient[0, 0].any(axis).nonzero().flatten()
        assert int(touched[-1] - touched[0]) + 1 == model.receptive_field


def test_feature_map_sizes_and_output():
    model = CPResNet(10, width=2)
    sizes = []
    x = model.stem(torch.rand(1, 2, 256, 431))
    sizes.append(tuple(x.shape[2:]))
    for layer in model.stages[0]:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            sizes.append(tuple(x.shape[2:]))
    assert sizes == [(127, 215), (63, 107), (31, 53), (15, 26)]
    assert model(torch.rand(2, 2, 256, 431)).shape == (2, 10)


@pytest.mark.parametrize("options", [{}, {"damping": 0.1}, {"frequency_aware": True}, {"decomposition": 2}])
def test_untrained_network_gives_zero_logits_and_loss_ln_classes(options):
    model = CPResNet(7, width=4, **options)
    logits = model(torch.randn(3, 2, 64, 64))
    assert torch.equal(logits, torch.zeros(3, 7))
    loss = nn.functional.cross_entropy(logits, torch.tensor([0, 3, 6]))
    assert math.isclose(loss.item(), math.log(7), rel_tol=1e-6)


def test_fixup_uses_the_block_count_of_its_own_network():
    torch.manual_seed(0)
    CPResNet(10, width=64)  # a network built before must not change the next one
    model = CPResNet(10, width=64, blocks=(4, 2, 0))
    block = model.stages[0][0]
    assert isinstance(block, ResidualBlock)
    expected = 6**-0.5 * math.sqrt(2 / (9 * 64))
    assert block.conv1.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert not block.conv2.weight.any()


@pytest.mark.parametrize(
    ("size", "minimum", "expected"),
    [(3, 0.1, [0.1, 1, 0.1]), (5, 0.01, [0.01, 0.505, 1, 0.505, 0.01]), (7, 0.1, [0.1, 0.4, 0.7, 1, 0.7, 0.4, 0.1])],
)
def test_damper_vectors(size, minimum, expected):
    assert frequency_damper(size, minimum).flatten().tolist() == pytest.approx(expected)


def test_damping_acts_on_frequency_not_on_time():
    conv = DampedConv2d(1, 1, 3, minimum=0.1, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    y = conv(x)[0, 0]
    assert y[2, 1:4].tolist() == pytest.approx([1, 1, 1])
    assert y[1:4, 2].tolist() == pytest.approx([0.1, 1, 0.1])


def test_every_kernel_above_one_is_damped():
    model = build_model("cp_resnet_damped", 3)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert isinstance(module, DampedConv2d) == (module.kernel_size[0] > 1)
    assert model.half().stem[0].damper.dtype == torch.float16


def test_f4_a_decomposed_network_damps_its_inner_convolutions_alone():
    model = build_model("cp_resnet_damped", 3, decomposition=4)
    damped = [name for name, module in model.named_modules() if isinstance(module, DampedConv2d)]
    assert type(model.stem[0]) is nn.Conv2d
    assert damped
    assert all(name.endswith((".conv1.1", ".conv2.1")) for name in damped)


def test_frequency_position_channel():
    channel = with_frequency_position(torch.zeros(2, 3, 4, 5))[:, 3]
    assert channel[1, :, 2].tolist() == pytest.approx([-1, -0.5, 0, 0.5])
    assert torch.equal(channel[..., 0], channel[..., 4])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cp_resnt", {}, "no network"),
        ("cp_resnet", {"widht": 3}, "no option 'widht'"),
        ("cp_resnet", {"blocks": [4, 4]}, "blocks must be"),
        ("cp_resnet", {"width": 10, "decomposition": 4}, "multiple of decomposition"),
        ("cp_resnet", {"rho": "five"}, "cp_resnet"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    with pytest.raises(ModelError, match=message) as caught:
        build_model(name, 10, **options)
    assert caught.value.hint
