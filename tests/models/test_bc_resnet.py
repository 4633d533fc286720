"""BC-ResNet-ASC: published counts, its shapes, its layers against plain functions, wrong options."""

import numpy as np
import pytest
import torch
from helpers.models import run_and_watch
from torch import nn
from torch.nn import functional as F

from asc_mrkd.budget import count_multiply_adds
from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model
from asc_mrkd.models.bc_resnet import BroadcastedBlock, ResidualNorm, SubSpectralNorm
from asc_mrkd.models.residual import conv_norm


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def in_thousands(count: int, published: str) -> str:
    """Return a count in thousands, as in 9.2k, with as many digits as a published one."""
    return f"{count / 1000:.{len(published.partition('.')[2].rstrip('k'))}f}k"


@pytest.mark.parametrize(
    ("base_channels", "parameters", "published", "multiply_adds"),
    [(10, 8_055, "8.1k", 3_858_890), (80, 314_970, "315k", 100_203_600), (38, 78_195, None, 27_833_190)],
)
def test_the_counts_are_the_published_ones(base_channels, parameters, published, multiply_adds):
    """The multiply-adds, of one second, are not published; 38 is the widest within 30 million."""
    with torch.device("meta"):
        network = build_model("bc_resnet", 10, base_channels=base_channels)
    assert parameters_of(network) == parameters
    if published is not None:
        assert in_thousands(parameters, published) == published
    assert sum(count_multiply_adds(network, (1, 256, 65)).values()) == multiply_adds


def network_for_keywords(scale: float) -> nn.Sequential:
    """The network of Kim et al. (Interspeech 2021), Table 1, for 40 mel bins and twelve keywords."""
    widths = [int(8 * scale * factor) for factor in (1, 1.5, 2, 2.5)]
    channels = 2 * widths[0]
    layers = [nn.Conv2d(1, channels, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    for number, (width, blocks, stride) in enumerate(zip(widths, (2, 2, 4, 4), (1, 2, 2, 1), strict=True)):
        for block in range(blocks):
            layers.append(BroadcastedBlock(channels, width, 5, stride if block == 0 else 1, 2**number))
            channels = width
    last = 4 * widths[0]
    layers += [nn.Conv2d(channels, channels, 5, padding=(0, 2), groups=channels, bias=False)]
    return nn.Sequential(
        *layers, *conv_norm(channels, last, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(last, 12, 1)
    )


@pytest.mark.parametrize(
    ("scale", "parameters", "published"),
    [(1, 9_232, "9.2k"), (2, 27_284, "27.3k"), (3, 54_168, "54.2k"), (6, 187_812, "188k"), (8, 321_068, "321k")],
)
def test_the_blocks_make_the_published_networks_for_keywords(scale, parameters, published):
    with torch.device("meta"):
        network = network_for_keywords(scale)
        assert network(torch.zeros(2, 1, 40, 101)).shape == (2, 12, 1, 1)
    assert parameters_of(network) == parameters
    assert in_thousands(parameters, published) == published


def test_a_second_of_sound_shrinks_to_32_by_8():
    network = build_model("bc_resnet", 10, in_channels=2, base_channels=10)
    layers = ("stem", "stages.0", "stages.1", "stages.2", "stages.3", "head")
    output, shapes = run_and_watch(network, layers, torch.zeros(1, 2, 256, 65))
    assert output.shape == (1, 10)
    assert shapes == {
        "stem": (20, 128, 33),
        "stages.0": (10, 64, 16),
        "stages.1": (15, 32, 8),
        "stages.2": (20, 32, 8),
        "stages.3": (25, 32, 8),
        "head": (10, 32, 8),
    }


@pytest.mark.parametrize(("target", "stride", "dilation"), [(4, 1, 1), (4, 1, 2), (6, 2, 4)])
def test_a_block_is_its_formula(target, stride, dilation):
    torch.manual_seed(0)
    block = BroadcastedBlock(4, target, 2, stride, dilation).eval()
    *change, along_mel, _ = block.mel_branch
    along_frames, _, _, mix, _ = block.frame_branch
    scale = (1 + 1e-5) ** -0.5  # what untrained normalisation does
    x = torch.randn(2, 4, 8, 9)
    with torch.no_grad():
        y = F.relu(scale * F.conv2d(x, change[0].weight)) if change else x
        bands = scale * F.conv2d(y, along_mel.weight, stride=(stride, 1), padding=(1, 0), groups=target)
        average = F.conv2d(
            bands.mean(2, keepdim=True),
            along_frames.weight,
            padding=(0, dilation),
            dilation=(1, dilation),
            groups=target,
        )
        y = bands + F.conv2d(F.silu(scale * average), mix.weight)
        torch.testing.assert_close(block(x), F.relu(y if change else y + x))


def test_sub_bands_are_normalised_one_by_one():
    torch.manual_seed(0)
    x = torch.randn(5, 3, 8, 7)
    norm = SubSpectralNorm(3, 4)
    nn.init.normal_(norm.norm.weight)
    parts = []
    for band, part in enumerate(x.split(2, dim=2)):
        weight, bias = (tensor.view(3, 4)[:, band] for tensor in (norm.norm.weight, norm.norm.bias))
        parts.append(F.batch_norm(part, None, None, weight, bias, training=True))
    torch.testing.assert_close(norm(x), torch.cat(parts, dim=2))


def test_residual_normalisation_takes_away_the_gain_of_every_bin():
    x = np.random.default_rng(0).normal(2, 3, (2, 3, 5, 7)).astype(np.float32)
    mean, std = (function(x, axis=(1, 3), keepdims=True) for function in (np.mean, np.std))
    found = ResidualNorm(0.1)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, 0.1 * x + (x - mean) / std, rtol=1e-4, atol=1e-4)

    network = build_model("bc_resnet", 4, base_channels=4, residual_norm=0.0).eval()
    quiet = torch.randn(2, 1, 32, 16, generator=torch.Generator().manual_seed(0))
    device = torch.linspace(-2, 2, 32).view(32, 1)  # on a log scale, a frequency response is a sum
    with torch.no_grad():
        torch.testing.assert_close(network(quiet + device), network(quiet), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"base_channels": 9}, "base_channels 9 is not even", "base_channels=10"),
        ({"base_channels": 0}, "base_channels must be at least 1", "base_channels=1"),
        ({"residual_norm": -1.0}, "residual_norm must be from 0 to 100", "0.1"),
    ],
)
def test_wrong_options(options, message, hint):
    with pytest.raises(ModelError, match=message) as error:
        build_model("bc_resnet", 10, **options)
    assert hint in error.value.hint


def test_mel_bins_that_cannot_be_divided_are_named():
    with torch.device("meta"), pytest.raises(ValueError, match="takes a multiple of 32 mel bins, not 40"):
        build_model("bc_resnet", 10, base_channels=10)(torch.zeros(2, 1, 40, 51))
