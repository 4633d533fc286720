"""CP-ResNet: the receptive-field-regularised residual network, with its published variants as options.

Source: Koutini et al., "The Receptive Field as a Regularizer in Deep Convolutional Neural Networks for Acoustic
Scene Classification" (EUSIPCO 2019) and "Low-Complexity Models for Acoustic Scene Classification Based on Receptive
Field Regularization and Frequency Damping" (DCASE 2020).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models.convolution import block_conv2d, conv2d, with_frequency_position

SLOTS = 4
"""Blocks of a full stage; the kernel rule numbers the convolutions of the full network."""
POOL_AFTER = (1, 2, 4)
"""Blocks of the first stage that are followed by 2 x 2 max-pooling."""


def kernel_size(convolution: int, rho: int) -> int:
    """Return 3 or 1 for block convolution 1..24 (forward order): 1 is 3, 2 is 1, j is 3 as long as j - 2 <= rho.

    >>> [kernel_size(j, rho=3) for j in range(1, 8)]
    [3, 1, 3, 3, 3, 1, 1]
    """
    return 3 if convolution == 1 or 3 <= convolution <= rho + 2 else 1


class ResidualBlock(nn.Module):
    """conv - BN - ReLU - conv - BN, plus the shortcut, then ReLU; the time and mel axes keep their length."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernels: tuple[int, int],
        damping: float | None,
        frequency_aware: bool,
        decomposition: int,
    ) -> None:
        super().__init__()
        self.frequency_aware = frequency_aware
        extra = int(frequency_aware)
        self.conv1 = block_conv2d(in_channels + extra, out_channels, kernels[0], damping, decomposition)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = block_conv2d(out_channels + extra, out_channels, kernels[1], damping, decomposition)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                block_conv2d(in_channels, out_channels, 1, damping, decomposition), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, mel, frame) to (batch, out_channels, mel, frame)."""
        place = with_frequency_position if self.frequency_aware else nn.Identity()
        y = torch.relu(self.bn1(self.conv1(place(x))))
        y = self.bn2(self.conv2(place(y)))
        return torch.relu(y + self.shortcut(x))


class CPResNet(nn.Module):
    """CP-ResNet from a spectrogram (batch, channel, mel, frame) to logits (batch, class).

    Args:
        num_classes: classes.
        in_channels: audio channels of the spectrogram.
        rho: size of the receptive field; `receptive_field` tells it in mel bins and frames.
        width: channels of the first stage; the next ones have 2 and 4 times as many.
        blocks: residual blocks of the three stages, 0 to 4 each; an empty stage is left out.
        damping: factor on the outermost rows of every kernel along frequency (0.1 in the challenge); None is off.
        frequency_aware: give every block convolution one more input channel that holds the frequency position.
        decomposition: inner convolutions have 1 / decomposition of the channels; 1 is a plain convolution.
        init: `fixup` starts with residual branches and logits of exactly zero; `kaiming` is fan-out Kaiming normal.

    Raises:
        ModelError: an option that no network can be built with.

    >>> sum(p.numel() for p in CPResNet(num_classes=10).parameters())
    3566612
    """

    branch_points: ClassVar[tuple[str, ...]] = ("stages.0", "stages.1")
    """Layers that an early classifier can hang on."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 2,
        rho: int = 5,
        width: int = 128,
        blocks: Sequence[int] = (4, 4, 4),
        damping: float | None = None,
        frequency_aware: bool = False,
        decomposition: int = 1,
        init: Literal["fixup", "kaiming"] = "fixup",
    ) -> None:
        super().__init__()
        _check(num_classes, in_channels, rho, width, blocks, damping, decomposition, init)
        self.rho, self.blocks = rho, tuple(blocks)
        self.stem = nn.Sequential(
            conv2d(in_channels, width, 5, damping, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages, channels = nn.ModuleList(), width
        for stage, count in enumerate(blocks):
            layers: list[nn.Module] = []
            for block in range(1, count + 1):
                first = 2 * (stage * SLOTS + block) - 1
                kernels = (kernel_size(first, rho), kernel_size(first + 1, rho))
                layers.append(ResidualBlock(channels, width << stage, kernels, damping, frequency_aware, decomposition))
                channels = width << stage
                if stage == 0 and block in POOL_AFTER:
                    layers.append(nn.MaxPool2d(2))
            self.stages.append(nn.Sequential(*layers))
        self.head = nn.Sequential(conv2d(channels, num_classes, 1, None), nn.BatchNorm2d(num_classes))
        _initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, mel, frame) to logits (batch, class)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x).mean(dim=(2, 3))

    @property
    def receptive_field(self) -> int:
        """The true maximal receptive field in mel bins and in frames, pooling included."""
        field, jump = 5, 2
        for stage, count in enumerate(self.blocks):
            for block in range(1, count + 1):
                first = 2 * (stage * SLOTS + block) - 1
                field += (kernel_size(first, self.rho) + kernel_size(first + 1, self.rho) - 2) * jump
                if stage == 0 and block in POOL_AFTER:
                    field, jump = field + jump, 2 * jump
        return field


def _check(
    num_classes: int,
    in_channels: int,
    rho: int,
    width: int,
    blocks: Sequence[int],
    damping: float | None,
    decomposition: int,
    init: str,
) -> None:
    wrong = {
        "num_classes must be at least 1": num_classes < 1,
        "in_channels must be at least 1": in_channels < 1,
        "rho must not be negative": rho < 0,
        "blocks must be three numbers from 0 to 4, the first at least 1, as in 4,3,1": len(blocks) != 3
        or not all(0 <= count <= SLOTS for count in blocks)
        or blocks[0] < 1,
        "damping must be between 0 and 1": damping is not None and not 0 <= damping <= 1,
        "width must be a positive multiple of decomposition": width < 1 or decomposition < 1 or width % decomposition,
        "init must be fixup or kaiming": init not in ("fixup", "kaiming"),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise ModelError(f"cp_resnet: {message}", "asc-mrkd models shows the options and their defaults")


def _initialise(network: CPResNet, init: str) -> None:
    """Set the weights; `fixup` uses this network's own number of blocks for the first convolution of a branch."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for conv in convolutions:
        nn.init.kaiming_normal_(conv.weight, mode="fan_in" if init == "fixup" else "fan_out", nonlinearity="relu")
    if init == "kaiming":
        return
    nn.init.zeros_(network.head[0].weight)  # type: ignore[arg-type]
    blocks = [m for m in network.modules() if isinstance(m, ResidualBlock)]
    for block in blocks:
        first, second = _last_convolution(block.conv1), _last_convolution(block.conv2)
        nn.init.normal_(first.weight, std=len(blocks) ** -0.5 * _fan_out_std(first))
        nn.init.zeros_(second.weight)
        if len(block.shortcut):
            shortcut = _last_convolution(block.shortcut[0])
            nn.init.normal_(shortcut.weight, std=_fan_out_std(shortcut))


def _last_convolution(module: nn.Module) -> nn.Conv2d:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)][-1]


def _fan_out_std(conv: nn.Conv2d) -> float:
    return float((2 / (conv.kernel_size[0] * conv.kernel_size[1] * conv.out_channels)) ** 0.5)
