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

SLOTS = 4
"""Blocks of a full stage; the kernel rule numbers the convolutions of the full network."""

LARGEST_RHO = 6 * SLOTS - 2
"""Size of the receptive field beyond which no kernel of the full network changes any more."""

POOL_AFTER = (1, 2, 4)
"""Blocks of the first stage that are followed by 2 x 2 max-pooling."""


class CPResNet(nn.Module):
    """CP-ResNet from a spectrogram (batch, channel, mel, frame) to logits (batch, class).

    Args:
        num_classes: number of classes.
        in_channels: audio channels of the spectrogram.
        rho: size of the receptive field; `receptive_field` gives it in mel bins and frames.
        width: channels of the first stage; the next ones have 2 and 4 times as many.
        blocks: residual blocks of the three stages, 0 to 4 each; an empty stage is left out.
        damping: factor on the outermost rows of every kernel along frequency (0.1 in the challenge); None is off. A
            decomposed network damps only the inner convolutions, as the original does: its stem stays plain.
        frequency_aware: give every block convolution one more input channel with the frequency position.
        decomposition: inner convolutions have 1 / decomposition of the channels; 1 is a plain convolution.
        init: `fixup` starts with residual branches and logits of exactly zero; `kaiming` is fan-out Kaiming normal.

    Raises:
        ModelError: an option is out of range.

    >>> sum(p.numel() for p in CPResNet(num_classes=10).parameters())
    3566612
    """

    branch_points: ClassVar[tuple[str, ...]] = ("stages.0", "stages.1")
    """Layers whose output an early classifier can take."""

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
        _require_valid_options(num_classes, in_channels, rho, width, blocks, damping, decomposition, init)
        self.rho = rho
        self.blocks = tuple(blocks)
        stem_damping = damping if decomposition == 1 else None
        stem = conv2d(in_channels, width, 5, stem_damping, stride=2, padding=1)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU())
        self.stages = nn.ModuleList()
        channels = width
        for stage, count in enumerate(blocks):
            stage_width = width << stage
            layers: list[nn.Module] = []
            for block in range(1, count + 1):
                kernels = block_kernels(stage, block, rho)
                layers.append(ResidualBlock(channels, stage_width, kernels, damping, frequency_aware, decomposition))
                channels = stage_width
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
        """Maximal receptive field in mel bins and in frames, pooling included."""
        field = 5
        jump = 2
        for stage, count in enumerate(self.blocks):
            for block in range(1, count + 1):
                field += (sum(block_kernels(stage, block, self.rho)) - 2) * jump
                if stage == 0 and block in POOL_AFTER:
                    field += jump
                    jump *= 2
        return field


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


def kernel_size(convolution: int, rho: int) -> int:
    """Return 3 or 1 for block convolution 1..24 (forward order): 1 is 3, 2 is 1, j is 3 as long as j - 2 <= rho.

    >>> [kernel_size(j, rho=3) for j in range(1, 8)]
    [3, 1, 3, 3, 3, 1, 1]
    """
    return 3 if convolution == 1 or 3 <= convolution <= rho + 2 else 1


def block_kernels(stage: int, block: int, rho: int) -> tuple[int, int]:
    """Return the kernel sizes of a residual block; `stage` counts from 0, `block` from 1."""
    first = 2 * (stage * SLOTS + block) - 1
    return kernel_size(first, rho), kernel_size(first + 1, rho)


def frequency_damper(kernel_size: int, minimum: float) -> Tensor:
    """Return the factors on the rows (frequency axis) of a square kernel, shaped (1, 1, kernel_size, 1).

    The centre row keeps 1, the outermost rows get `minimum`, linearly in between (Koutini et al., DCASE 2020).

    >>> frequency_damper(5, 0.1).flatten().tolist()  # doctest: +ELLIPSIS
    [0.1..., 0.55..., 1.0, 0.55..., 0.1...]
    """
    centre = (kernel_size - 1) / 2
    distance = (torch.arange(kernel_size, device="cpu") - centre).abs() / max(centre, 1)
    return (1 - (1 - minimum) * distance).view(1, 1, -1, 1)


class DampedConv2d(nn.Conv2d):
    """Convolution whose weight is damped along frequency in every forward pass; it adds no parameters."""

    damper: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, minimum: float, **options: object):
        super().__init__(in_channels, out_channels, kernel_size, **options)  # type: ignore[arg-type]
        damper = frequency_damper(kernel_size, minimum)
        self.register_buffer("damper", damper.to(self.weight.device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, mel, frame) to (batch, out_channels, mel, frame)."""
        return self._conv_forward(x, self.weight * self.damper, self.bias)


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, damping: float | None, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """Build a bias-free convolution, damped along frequency if `damping` is given and the kernel has 3 rows or more."""
    if damping is None or kernel_size < 3:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
    return DampedConv2d(in_channels, out_channels, kernel_size, damping, stride=stride, padding=padding, bias=False)


def block_conv2d(
    in_channels: int, out_channels: int, kernel_size: int, damping: float | None, decomposition: int
) -> nn.Module:
    """Build a convolution of a residual block: plain, or 1x1 - k x k - 1x1 through `out_channels / decomposition`.

    Only the middle convolution of a decomposed one is damped.
    """
    padding = kernel_size // 3
    if decomposition == 1:
        return conv2d(in_channels, out_channels, kernel_size, damping, padding=padding)
    inner = out_channels // decomposition
    return nn.Sequential(
        conv2d(in_channels, inner, 1, None),
        conv2d(inner, inner, kernel_size, damping, padding=padding),
        conv2d(inner, out_channels, 1, None),
    )


def with_frequency_position(x: Tensor) -> Tensor:
    """Append a channel with 2 i / H - 1 on row i of H, constant over time: (batch, C, H, T) to (batch, C + 1, H, T)."""
    batch, _, rows, frames = x.shape
    position = torch.arange(rows, device=x.device, dtype=x.dtype) * (2 / rows) - 1
    return torch.cat([x, position.view(1, 1, rows, 1).expand(batch, 1, rows, frames)], dim=1)


def _require_valid_options(
    num_classes: int,
    in_channels: int,
    rho: int,
    width: int,
    blocks: Sequence[int],
    damping: float | None,
    decomposition: int,
    init: str,
) -> None:
    """Raise ModelError for the first option that is out of range."""
    is_divisible = width >= 1 and decomposition >= 1 and width % decomposition == 0
    are_blocks = len(blocks) == 3 and all(0 <= count <= SLOTS for count in blocks) and blocks[0] >= 1
    rules = {
        "num_classes must be at least 1": num_classes >= 1,
        "in_channels must be at least 1": in_channels >= 1,
        f"rho must be from 0 to {LARGEST_RHO}, where every kernel but one is 3 x 3": 0 <= rho <= LARGEST_RHO,
        "blocks must be three numbers from 0 to 4, the first at least 1, as in 4,3,1": are_blocks,
        "damping must be between 0 and 1": damping is None or 0 <= damping <= 1,
        "width must be a positive multiple of decomposition": is_divisible,
        "init must be fixup or kaiming": init in ("fixup", "kaiming"),
    }
    for rule, is_kept in rules.items():
        if not is_kept:
            raise ModelError(f"cp_resnet: {rule}", "asc-mrkd models shows the options and their defaults")


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
        first = _last_convolution(block.conv1)
        second = _last_convolution(block.conv2)
        nn.init.normal_(first.weight, std=len(blocks) ** -0.5 * _fan_out_std(first))
        nn.init.zeros_(second.weight)
        if len(block.shortcut):
            shortcut = _last_convolution(block.shortcut[0])
            nn.init.normal_(shortcut.weight, std=_fan_out_std(shortcut))


def _last_convolution(module: nn.Module) -> nn.Conv2d:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)][-1]


def _fan_out_std(conv: nn.Conv2d) -> float:
    return float((2 / (conv.kernel_size[0] * conv.kernel_size[1] * conv.out_channels)) ** 0.5)
