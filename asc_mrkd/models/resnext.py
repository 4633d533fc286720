"""ResNeXt for small images: bottlenecks whose middle convolution runs in groups.

Source: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (CVPR 2017), section 5.3, in the
post-activation order of its final version.
"""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from asc_mrkd.models.residual import (
    blocks_per_stage,
    conv1x1,
    conv3x3,
    finish,
    global_average,
    projection,
    require_positive,
    stage,
)

STEM = 64
"""Channels after the first convolution."""

OUTPUT = 256
"""Channels after the first stage; they double from one stage to the next."""


class GroupedBottleneck(nn.Module):
    """1x1 - BN - ReLU - grouped 3x3 - BN - ReLU - 1x1 - BN, plus the shortcut, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, cardinality: int, width: int) -> None:
        super().__init__()
        inner = cardinality * width * (out_channels // OUTPUT)
        self.conv1 = conv1x1(in_channels, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride, groups=cardinality)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = projection(in_channels, out_channels, stride, norm=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class ResNeXt(nn.Module):
    """ResNeXt from an image (batch, channel, height, width) to logits (batch, class).

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: weighted layers, 9 n + 2.
        cardinality: groups of the 3 x 3 convolutions.
        width: channels of a group in the first stage; it doubles from one stage to the next.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in ResNeXt(num_classes=10, depth=11, cardinality=2, width=8).parameters())
    843658
    """

    branch_points: ClassVar[tuple[str, ...]] = ("layer1", "layer2")
    """Layers whose output an early classifier can take."""

    def __init__(
        self, num_classes: int, in_channels: int = 3, depth: int = 29, cardinality: int = 8, width: int = 64
    ) -> None:
        super().__init__()
        require_positive("ResNeXt", num_classes=num_classes, in_channels=in_channels)
        require_positive("ResNeXt", cardinality=cardinality, width=width)
        blocks = blocks_per_stage("ResNeXt", depth, 9, 2)
        block = partial(GroupedBottleneck, cardinality=cardinality, width=width)
        first, second, third = (OUTPUT << doublings for doublings in range(3))
        self.conv1 = conv3x3(in_channels, STEM)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = stage(block, STEM, first, blocks, stride=1)
        self.layer2 = stage(block, first, second, blocks, stride=2)
        self.layer3 = stage(block, second, third, blocks, stride=2)
        self.linear = nn.Linear(third, num_classes)
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to logits (batch, class)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(global_average(self.layer3(self.layer2(self.layer1(x)))))
