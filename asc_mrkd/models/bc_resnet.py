"""BC-ResNet-ASC: a network of broadcasted residual blocks with a limited receptive field and residual normalisation.

Sources: Kim et al., "Broadcasted Residual Learning for Efficient Keyword Spotting" (Interspeech 2021), for the blocks;
Kim et al., "Domain Generalization on Efficient Acoustic Scene Classification using Residual Normalization" (DCASE
2021), for the network and the normalisation.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ModelError
from asc_mrkd.models.residual import conv_norm, finish, global_average, require_positive

STAGES = ((1.0, 2), (1.5, 2), (2.0, 2), (2.5, 3))
"""Factor on the base channels, and number of blocks, of each stage."""

POOLED = 2
"""Stages that end in max pooling: the first ones."""

SUB_BANDS = 4
"""Bands of the mel axis that are normalised separately."""

MEL_MULTIPLE = 32
"""Number that divides the mel bins: they are halved three times, and then still have the sub-bands."""

DROPOUT = 0.1
"""Share of the channels that the time branch of a block drops while training."""

TINY = 1e-5
"""Number added to a variance before its root is taken."""


class BCResNet(nn.Module):
    """BC-ResNet-ASC from a spectrogram (batch, channel, mel, frame) to logits (batch, class).

    The published sizes have `base_channels` 10 and 80. The mel bins are a multiple of 32.

    Args:
        num_classes: number of classes.
        in_channels: audio channels of the spectrogram.
        base_channels: channels of the first stage, an even number; the first convolution has twice as many.
        residual_norm: weight of the shortcut of residual normalisation; None leaves this normalisation out.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in BCResNet(num_classes=10).parameters())
    314970
    """

    branch_points: ClassVar[tuple[str, ...]] = ("stages.0", "stages.1", "stages.2")
    """Layers whose output an early classifier can take."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        base_channels: int = 80,
        residual_norm: float | None = 0.1,
    ) -> None:
        super().__init__()
        _require_valid_options(num_classes, in_channels, base_channels, residual_norm)
        channels = 2 * base_channels
        self.normalise = nn.Identity() if residual_norm is None else ResidualNorm(residual_norm)
        self.stem = nn.Sequential(*conv_norm(in_channels, channels, 5, (2, 2)), nn.ReLU())
        self.stages = nn.ModuleList()
        for number, (factor, blocks) in enumerate(STAGES):
            width = int(base_channels * factor)
            layers: list[nn.Module] = [BroadcastedBlock(channels, width, SUB_BANDS)]
            layers += [BroadcastedBlock(width, width, SUB_BANDS) for _ in range(blocks - 1)]
            if number < POOLED:
                layers.append(nn.MaxPool2d(2))
            self.stages.append(nn.Sequential(*layers))
            channels = width
        self.head = nn.Conv2d(channels, num_classes, 1)
        finish(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channel, mel, frame) to logits (batch, class).

        Raises:
            ValueError: the number of mel bins is not a multiple of 32.
        """
        if x.shape[2] % MEL_MULTIPLE:
            raise ValueError(f"bc_resnet takes a multiple of {MEL_MULTIPLE} mel bins, not {x.shape[2]}")
        x = self.stem(self.normalise(x))
        for stage in self.stages:
            x = self.normalise(stage(x))
        return global_average(self.head(x))


class BroadcastedBlock(nn.Module):
    """A convolution along the mel bins, plus one along the frames of its average, which is broadcast to all bins.

    A block that changes the channels begins with a 1x1 convolution and has no shortcut.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        sub_bands: bands of the mel axis that are normalised separately.
        stride: stride along the mel bins.
        dilation: distance of the weights along the frames.
    """

    def __init__(self, in_channels: int, out_channels: int, sub_bands: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        along_mel = nn.Conv2d(out_channels, out_channels, (3, 1), (stride, 1), (1, 0), groups=out_channels, bias=False)
        along_frames = nn.Conv2d(
            out_channels,
            out_channels,
            (1, 3),
            padding=(0, dilation),
            dilation=(1, dilation),
            groups=out_channels,
            bias=False,
        )
        self.has_shortcut = in_channels == out_channels
        change: list[nn.Module] = []
        if not self.has_shortcut:
            change = [*conv_norm(in_channels, out_channels, 1), nn.ReLU()]
        self.mel_branch = nn.Sequential(*change, along_mel, SubSpectralNorm(out_channels, sub_bands))
        self.frame_branch = nn.Sequential(
            along_frames,
            nn.BatchNorm2d(out_channels),
            nn.SiLU(),
            nn.Conv2d(out_channels, out_channels, 1, bias=False),
            nn.Dropout2d(DROPOUT),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, mel, frame) to (batch, out_channels, mel / stride, frame)."""
        bands = self.mel_branch(x)
        y = bands + self.frame_branch(bands.mean(dim=2, keepdim=True))
        if self.has_shortcut:
            y = y + x
        return torch.relu(y)


class SubSpectralNorm(nn.Module):
    """Batch normalisation of the bands of the mel axis, each with separate statistics and affine map.

    Args:
        channels: channels.
        sub_bands: number of bands, which divides the mel bins.
    """

    def __init__(self, channels: int, sub_bands: int) -> None:
        super().__init__()
        self.sub_bands = sub_bands
        self.norm = nn.BatchNorm2d(channels * sub_bands)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channel, mel, frame)."""
        batch, channels, mel, frames = x.shape
        bands = x.reshape(batch, channels * self.sub_bands, mel // self.sub_bands, frames)
        return self.norm(bands).reshape(batch, channels, mel, frames)


class ResidualNorm(nn.Module):
    """Residual normalisation: each mel bin of a sample with zero mean and unit variance, plus `weight` times the input.

    It takes away much of the frequency response of the recording device, and leaves some.

    Args:
        weight: weight of the input.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channel, mel, frame) over the channels and frames of each bin."""
        centred = x - x.mean(dim=(1, 3), keepdim=True)
        variance = (centred * centred).mean(dim=(1, 3), keepdim=True)
        return self.weight * x + centred / torch.sqrt(variance + TINY)


def _require_valid_options(num_classes: int, in_channels: int, base_channels: int, residual_norm: float | None) -> None:
    """Raise ModelError for the first option that is out of range."""
    require_positive("bc_resnet", num_classes=num_classes, in_channels=in_channels, base_channels=base_channels)
    if base_channels % 2:
        raise ModelError(
            f"bc_resnet: base_channels {base_channels} is not even", f"the nearest is base_channels={base_channels + 1}"
        )
    if residual_norm is not None and not 0 <= residual_norm <= 100:
        raise ModelError("bc_resnet: residual_norm must be from 0 to 100", "the published residual_norm is 0.1")
