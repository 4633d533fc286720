"""ResNets for small images: post-activation basic blocks, and pre-activation bottlenecks.

Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), section 4.2, and "Identity Mappings in
Deep Residual Networks" (ECCV 2016). Layers are named as in published CIFAR checkpoints, which load as they are; the
last normalisation of a pre-activation network is `bn`.
"""

from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models.residual import (
    ZeroPad,
    blocks_per_stage,
    conv1x1,
    conv3x3,
    finish,
    global_average,
    projection,
    require_positive,
    stage,
)


class BasicBlock(nn.Module):
    """conv - BN - ReLU - conv - BN, plus the shortcut, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = projection(in_channels, out_channels, stride, norm=True)
        if shortcut == "A" and len(self.shortcut):
            self.shortcut = ZeroPad(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet of basic blocks, from an image (batch, channel, height, width) to logits (batch, class).

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: weighted layers, 6 n + 2.
        width: channels of the first stage; the next two have 2 and 4 times as many, at half and a quarter of the size.
        shortcut: where the shape changes, `A` takes every second pixel and adds channels of zeros (as the paper does
            for small images), `B` is a 1 x 1 convolution with batch normalisation.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in ResNet(num_classes=100, depth=20).parameters())
    275572
    """

    branch_points: ClassVar[tuple[str, ...]] = ("layer1", "layer2")
    """Layers whose output an early classifier can take."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        depth: int = 20,
        width: int = 16,
        shortcut: Literal["A", "B"] = "A",
    ) -> None:
        super().__init__()
        require_positive("ResNet", num_classes=num_classes, in_channels=in_channels, width=width)
        if shortcut not in ("A", "B"):
            raise ModelError(f"ResNet: {shortcut} is not a valid shortcut", "write shortcut=A or shortcut=B")
        blocks = blocks_per_stage("ResNet", depth, 6, 2)
        block = partial(BasicBlock, shortcut=shortcut)
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(block, width, width, blocks, stride=1)
        self.layer2 = stage(block, width, 2 * width, blocks, stride=2)
        self.layer3 = stage(block, 2 * width, 4 * width, blocks, stride=2)
        self.linear = nn.Linear(4 * width, num_classes)
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to logits (batch, class)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(global_average(self.layer3(self.layer2(self.layer1(x)))))


class PreActivationBottleneck(nn.Module):
    """BN - ReLU - 1x1 - BN - ReLU - 3x3 - BN - ReLU - 1x1, plus the shortcut; nothing follows the sum.

    A projection takes the input after the first BN - ReLU and is not normalised.
    """

    EXPANSION = 4

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        inner = out_channels // self.EXPANSION
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv1x1(in_channels, inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, out_channels)
        self.shortcut = projection(in_channels, out_channels, stride, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        y = torch.relu(self.bn1(x))
        shortcut = self.shortcut(y) if len(self.shortcut) else x
        y = torch.relu(self.bn2(self.conv1(y)))
        return self.conv3(torch.relu(self.bn3(self.conv2(y)))) + shortcut


class PreActivationResNet(nn.Module):
    """ResNet of pre-activation bottlenecks, from an image (batch, channel, height, width) to logits (batch, class).

    Some public code projects the input before its BN - ReLU, under the same names. Such a checkpoint loads too, but
    the network then computes something else.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: weighted layers, 9 n + 2.
        width: inner channels of the first stage, which puts out 4 times as many; the next two have 2 and 4 times as
            many, at half and a quarter of the size.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in PreActivationResNet(num_classes=100).parameters())
    1726388
    """

    branch_points: ClassVar[tuple[str, ...]] = ("layer1", "layer2")
    """Layers whose output an early classifier can take."""

    def __init__(self, num_classes: int, in_channels: int = 3, depth: int = 164, width: int = 16) -> None:
        super().__init__()
        require_positive("PreActivationResNet", num_classes=num_classes, in_channels=in_channels, width=width)
        blocks = blocks_per_stage("PreActivationResNet", depth, 9, 2)
        block = PreActivationBottleneck
        first, second, third = (block.EXPANSION * width << doublings for doublings in range(3))
        self.conv1 = conv3x3(in_channels, width)
        self.layer1 = stage(block, width, first, blocks, stride=1)
        self.layer2 = stage(block, first, second, blocks, stride=2)
        self.layer3 = stage(block, second, third, blocks, stride=2)
        self.bn = nn.BatchNorm2d(third)
        self.linear = nn.Linear(third, num_classes)
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, height, width) to logits (batch, class)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(global_average(torch.relu(self.bn(x))))
