"""CP-Mobile: a network of inverted residual blocks for one second of sound on a small device.

Source: Schmid et al., "Distilling the Knowledge of Transformers and CNNs with CP-Mobile" (DCASE 2023), as in the
baseline of DCASE 2024 and 2025 task 1, without global response normalisation.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models.residual import conv_norm, finish, global_average, require_positive

STRIDES = (((1, 1), (1, 1), (1, 2)), ((2, 1), (1, 1)), ((1, 1),))
"""Strides along (mel, frame) of the blocks of the three stages."""

MULTIPLE = 8
"""Number that divides the channels of every layer but the first."""


class CPMobile(nn.Module):
    """CP-Mobile from a spectrogram (batch, channel, mel, frame) to logits (batch, class).

    Args:
        num_classes: number of classes.
        in_channels: audio channels of the spectrogram.
        base_channels: channels of the first stage, a multiple of 8; the first convolution has a quarter of them.
        multiplier: factor on the channels from one stage to the next.
        expansion: factor on the input channels of a block for the channels within it.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in CPMobile(num_classes=10).parameters())
    61148
    """

    branch_points: ClassVar[tuple[str, ...]] = ("stages.0", "stages.1")
    """Layers whose output an early classifier can take."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        base_channels: int = 32,
        multiplier: float = 1.8,
        expansion: float = 2.1,
    ) -> None:
        super().__init__()
        _require_valid_options(num_classes, in_channels, base_channels, multiplier, expansion)
        first = base_channels // 4
        self.stem = nn.Sequential(
            *conv_norm(in_channels, first, 3, (2, 2)),
            nn.ReLU(),
            *conv_norm(first, base_channels, 3, (2, 2)),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList()
        channels = base_channels
        for number, strides in enumerate(STRIDES):
            width = nearest_multiple(base_channels * multiplier**number)
            blocks: list[nn.Module] = []
            for stride in strides:
                blocks.append(InvertedResidual(channels, width, nearest_multiple(channels * expansion), stride))
                channels = width
            self.stages.append(nn.Sequential(*blocks))
        self.head = nn.Sequential(*conv_norm(channels, num_classes, 1))
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, mel, frame) to logits (batch, class)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return global_average(self.head(x))


class InvertedResidual(nn.Module):
    """1x1 - BN - ReLU - depthwise 3x3 - BN - ReLU - 1x1 - BN, plus the shortcut, then ReLU.

    Where the channels change there is no shortcut; where only the plane shrinks, the shortcut is averaged over 3 x 3.
    """

    def __init__(self, in_channels: int, out_channels: int, inner: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *conv_norm(in_channels, inner, 1),
            nn.ReLU(),
            *conv_norm(inner, inner, 3, stride, groups=inner),
            nn.ReLU(),
            *conv_norm(inner, out_channels, 1),
        )
        self.shortcut: nn.Module | None = None
        if in_channels == out_channels:
            self.shortcut = nn.Identity() if stride == (1, 1) else nn.AvgPool2d(3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, mel, frame) to (batch, out_channels, mel / stride, frame / stride)."""
        y = self.branch(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return torch.relu(y)


def nearest_multiple(channels: float) -> int:
    """Return the multiple of `MULTIPLE` nearest to a number of channels, but not less than nine tenths of it.

    >>> [nearest_multiple(channels) for channels in (32 * 1.8, 32 * 2.1, 10)]
    [56, 64, 16]
    """
    nearest = max(MULTIPLE, int(channels + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    if nearest < 0.9 * channels:
        return nearest + MULTIPLE
    return nearest


def _require_valid_options(
    num_classes: int, in_channels: int, base_channels: int, multiplier: float, expansion: float
) -> None:
    """Raise ModelError for the first option that is out of range."""
    require_positive("cp_mobile", num_classes=num_classes, in_channels=in_channels, base_channels=base_channels)
    if base_channels % MULTIPLE:
        raise ModelError(
            f"cp_mobile: base_channels {base_channels} is not a multiple of {MULTIPLE}",
            f"the nearest is base_channels={nearest_multiple(base_channels)}",
        )
    factors = {"multiplier": (multiplier, 1.8), "expansion": (expansion, 2.1)}
    for name, (value, published) in factors.items():
        if not 0 < value <= 100:
            raise ModelError(
                f"cp_mobile: {name} must be above 0 and at most 100", f"the published {name} is {published}"
            )
