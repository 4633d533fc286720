"""Forward passes of the image networks against independent ones, and in every format they run in."""

import copy
import math

import numpy as np
import pytest
import torch
from helpers.models import small_image_network
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.models.residual import ZeroPad
from asc_mrkd.models.resnet import PreActivationBottleneck
from asc_mrkd.models.resnext import OUTPUT, GroupedBottleneck
from asc_mrkd.models.wide_resnet import PreActivationBlock

CHANNELS_LAST = torch.channels_last


def convolve(state: dict[str, Tensor], x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolve group by group."""
    weights = state[f"{name}.weight"].chunk(groups)
    padding = weights[0].shape[-1] // 2
    parts = zip(x.chunk(groups, dim=1), weights, strict=True)
    return torch.cat([F.conv2d(part, weight, stride=stride, padding=padding) for part, weight in parts], dim=1)


def normalise(state: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def reference_resnet20(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Compute ResNet-20 on a state dict with published names, saved under DataParallel."""
    x = normalise(state, convolve(state, x, "module.conv1"), "module.bn1").relu()
    for stage in (1, 2, 3):
        for number in range(3):
            block = f"module.layer{stage}.{number}"
            stride = 2 if stage > 1 and number == 0 else 1
            y = normalise(state, convolve(state, x, f"{block}.conv1", stride), f"{block}.bn1").relu()
            y = normalise(state, convolve(state, y, f"{block}.conv2"), f"{block}.bn2")
            if f"{block}.shortcut.0.weight" in state:
                x = normalise(state, convolve(state, x, f"{block}.shortcut.0", stride), f"{block}.shortcut.1")
            elif stride == 2:
                zeros = torch.zeros_like(y[:, : x.shape[1] // 2])
                x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1)
            x = (y + x).relu()
    return x.mean((2, 3)) @ state["module.linear.weight"].T + state["module.linear.bias"]


@pytest.mark.parametrize("spec", ["resnet20", "resnet20:shortcut=B"])
def test_resnet20_against_a_functional_reference(spec):
    model = small_image_network(spec, depth=20, width=16).double()
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    x = torch.randn(2, 3, 32, 32, dtype=torch.double)
    torch.testing.assert_close(model(x), reference_resnet20(state, x))


@pytest.mark.parametrize(("channels", "size"), [((4, 8), (6, 8)), ((3, 6), (5, 7))])
def test_shortcut_a_against_numpy(channels, size):
    x = np.random.default_rng(0).standard_normal((2, channels[0], *size), dtype=np.float32)
    before = (channels[1] - channels[0]) // 2
    expected = np.zeros((2, channels[1], math.ceil(size[0] / 2), math.ceil(size[1] / 2)), np.float32)
    expected[:, before : before + channels[0]] = x[:, :, ::2, ::2]
    shortcut = ZeroPad(*channels, stride=2)
    np.testing.assert_array_equal(shortcut(torch.from_numpy(x)).numpy(), expected)
    assert not shortcut.state_dict()


def test_shortcut_a_keeps_the_memory_format_both_ways():
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=CHANNELS_LAST).requires_grad_()
    y = ZeroPad(4, 8, stride=2)(x)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert y.is_contiguous(memory_format=CHANNELS_LAST)
    assert gradient.is_contiguous(memory_format=CHANNELS_LAST)


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 1), (4, 1), (8, 2)])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_pre_activation_order(bottleneck, in_channels, stride):
    """An identity shortcut carries the raw input, a projection the activated one; nothing follows the sum."""
    torch.manual_seed(0)
    block: nn.Module = PreActivationBlock(in_channels, 8, stride, dropout=0)
    if bottleneck:
        block = PreActivationBottleneck(in_channels, 8, stride)
    strides = [1, stride, 1] if bottleneck else [stride, 1]
    block.double().eval()
    for number in range(len(strides)):
        nn.init.normal_(block.get_submodule(f"bn{number + 1}").bias)
    state = block.state_dict()
    x = torch.randn(2, in_channels, 6, 6, dtype=torch.double)
    y = x
    for number, step in enumerate(strides, 1):
        y = convolve(state, normalise(state, y, f"bn{number}").relu(), f"conv{number}", step)
    if in_channels == 8 and stride == 1:
        shortcut = x
    else:
        shortcut = convolve(state, normalise(state, x, "bn1").relu(), "shortcut.0", stride)
    torch.testing.assert_close(block(x), y + shortcut)
    assert (block(x) < 0).any()


@pytest.mark.parametrize(("in_channels", "stride"), [(OUTPUT, 1), (64, 1), (OUTPUT // 2, 2)])
def test_grouped_bottleneck_order(in_channels, stride):
    torch.manual_seed(0)
    block = GroupedBottleneck(in_channels, OUTPUT, stride, cardinality=4, width=2).double().eval()
    for norm in ("bn1", "bn2", "bn3"):
        nn.init.normal_(block.get_submodule(norm).bias)
    state = block.state_dict()
    x = torch.randn(2, in_channels, 6, 6, dtype=torch.double)
    y = normalise(state, convolve(state, x, "conv1"), "bn1").relu()
    y = normalise(state, convolve(state, y, "conv2", stride, groups=4), "bn2").relu()
    y = normalise(state, convolve(state, y, "conv3"), "bn3")
    if in_channels == OUTPUT and stride == 1:
        shortcut = x
    else:
        shortcut = normalise(state, convolve(state, x, "shortcut.0", stride), "shortcut.1")
    torch.testing.assert_close(block(x), (y + shortcut).relu())


@pytest.mark.parametrize(
    ("spec", "first", "last"), [("resnet164", "", "bn"), ("wrn_16_8", "", "bn1"), ("resnext29_8x64d", "bn1", "")]
)
def test_layers_before_and_after_the_stages(spec, first, last):
    model = small_image_network(spec).double()
    state = model.state_dict()
    x = torch.randn(2, 3, 16, 16, dtype=torch.double)
    y = convolve(state, x, "conv1")
    y = normalise(state, y, first).relu() if first else y
    y = model.layer3(model.layer2(model.layer1(y)))
    y = normalise(state, y, last).relu() if last else y
    torch.testing.assert_close(model(x), y.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"])


def test_copies_channels_last_and_bfloat16_agree(spec):
    model = small_image_network(spec)
    x = torch.randn(4, 3, 16, 16)
    fast = copy.deepcopy(model).to(memory_format=CHANNELS_LAST)
    expected = model(x)
    x = x.contiguous(memory_format=CHANNELS_LAST)
    torch.testing.assert_close(fast(x), expected, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = fast(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.03 * expected.abs().max().item())


def test_gradients_keep_channels_last_between_the_layers(spec):
    model = small_image_network(spec).train().to(memory_format=CHANNELS_LAST)
    formats = {}

    def note(gradient: Tensor, name: str) -> None:
        formats[name] = gradient.is_contiguous(memory_format=CHANNELS_LAST)

    for name in model.branch_points:
        model.get_submodule(name).register_forward_hook(
            lambda *args, name=name: args[2].register_hook(lambda gradient: note(gradient, name)) and None
        )
    model(torch.randn(2, 3, 16, 16).contiguous(memory_format=CHANNELS_LAST)).sum().backward()
    assert formats == dict.fromkeys(model.branch_points, True)


@pytest.mark.slow
def test_forward_is_one_graph(spec):
    model = small_image_network(spec)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))
