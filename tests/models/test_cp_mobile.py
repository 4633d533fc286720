"""CP-Mobile: its shapes, its options, a block against plain functions, wrong options."""

import pytest
import torch
from helpers.models import run_and_watch
from torch.nn import functional as F

from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model
from asc_mrkd.models.cp_mobile import InvertedResidual


def channels(**options):
    with torch.device("meta"):
        network = build_model("cp_mobile", 10, **options)
    first = network.stem[0].out_channels
    widths = [[block.branch[-2].out_channels for block in stage] for stage in network.stages]
    inner = [[block.branch[0].out_channels for block in stage] for stage in network.stages]
    return first, widths, inner


def test_the_channels_follow_from_three_numbers():
    assert channels() == (8, [[32, 32, 32], [56, 56], [104]], [[64, 64, 64], [64, 120], [120]])
    assert channels(base_channels=8, multiplier=1, expansion=3) == (
        2,
        [[8] * 3, [8] * 2, [8]],
        [[24] * 3, [24] * 2, [24]],
    )


def test_a_second_of_sound_shrinks_to_32_by_9():
    network = build_model("cp_mobile", 10, in_channels=2)
    layers = ("stem", "stages.0", "stages.1", "stages.2", "head")
    output, shapes = run_and_watch(network, layers, torch.zeros(1, 2, 256, 65))
    assert output.shape == (1, 10)
    assert shapes == {
        "stem": (32, 64, 17),
        "stages.0": (32, 64, 9),
        "stages.1": (56, 32, 9),
        "stages.2": (104, 32, 9),
        "head": (10, 32, 9),
    }


@pytest.mark.parametrize(("target", "stride"), [(4, (1, 1)), (4, (1, 2)), (6, (2, 1))])
def test_a_block_is_its_formula(target, stride):
    torch.manual_seed(0)
    block = InvertedResidual(4, target, 8, stride).eval()
    widen, _, _, depthwise, _, _, project, _ = block.branch
    x = torch.randn(2, 4, 10, 7)
    with torch.no_grad():
        y = F.relu(F.conv2d(x, widen.weight) / (1 + 1e-5) ** 0.5)
        y = F.relu(F.conv2d(y, depthwise.weight, stride=stride, padding=1, groups=8) / (1 + 1e-5) ** 0.5)
        y = F.conv2d(y, project.weight) / (1 + 1e-5) ** 0.5
        if target == 4:
            y = y + (x if stride == (1, 1) else F.avg_pool2d(x, 3, stride, padding=1))
        torch.testing.assert_close(block(x), F.relu(y))


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"base_channels": 30}, "base_channels 30 is not a multiple of 8", "base_channels=32"),
        ({"base_channels": 0}, "base_channels must be at least 1", "base_channels=1"),
        ({"expansion": 0.0}, "expansion must be above 0 and at most 100", "2.1"),
        ({"multiplier": -1.0}, "multiplier must be above 0 and at most 100", "1.8"),
    ],
)
def test_wrong_options(options, message, hint):
    with pytest.raises(ModelError, match=message) as error:
        build_model("cp_mobile", 10, **options)
    assert hint in error.value.hint
