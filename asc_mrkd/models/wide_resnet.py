"""Wide residual networks: few pre-activation basic blocks with many channels.

Source: Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016). Published checkpoints load as they are; the
last normalisation is `bn1`, as there.
"""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models.residual import (
    blocks_per_stage,
    conv3x3,
    finish,
    global_average,
    projection,
    require_positive,
    stage,
)

STEM = 16
"""Channels after the first convolution; the stages have `width` times as many, doubling from one to the next."""


class PreActivationBlock(nn.Module):
    """BN - ReLU - conv - BN - ReLU - dropout - conv, plus the shortcut; nothing follows the sum.

    A projection takes the input after the first BN - ReLU and is not normalised.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut = projection(in_channels, out_channels, stride, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        y = torch.relu(self.bn1(x))
        shortcut = self.shortcut(y) if len(self.shortcut) else x
        y = torch.relu(self.bn2(self.conv1(y)))
        return self.conv2(self.dropout(y)) + shortcut


class WideResNet(nn.Module):
    """Wide residual network from an image (batch, channel, height, width) to logits (batch, class).

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: convolutions, the three projections included; 6 n + 4.
        width: channels of the three stages are 16, 32 and 64 times this.
        dropout: probability of dropout before the second convolution of a block; 0.3 in the paper where it is used.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in WideResNet(num_classes=10, depth=10, width=1).parameters())
    77850
    """

    branch_points: ClassVar[tuple[str, ...]] = ("layer1", "layer2")
    """Layers whose output an early classifier can take."""

    def __init__(
        self, num_classes: int, in_channels: int = 3, depth: int = 28, width: int = 10, dropout: float = 0.0
    ) -> None:
        super().__init__()
        require_positive("WideResNet", num_classes=num_classes, in_channels=in_channels, width=width)
        if not 0 <= dropout < 1:
            raise ModelError(f"WideResNet: dropout {dropout} is not between 0 and 1", "the paper has dropout=0.3")
        blocks = blocks_per_stage("WideResNet", depth, 6, 4)
        block = partial(PreActivationBlock, dropout=dropout)
        first, second, third = (STEM * width << doublings for doublings in range(3))
        self.conv1 = conv3x3(in_channels, STEM)
        self.layer1 = stage(block, STEM, first, blocks, stride=1)
        self.layer2 = stage(block, first, second, blocks, stride=2)
        self.layer3 = stage(block, second, third, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.linear = nn.Linear(third, num_classes)
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to logits (batch, class)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(global_average(torch.relu(self.bn1(x))))
