"""The convolutions of CP-ResNet: plain, frequency-damped, decomposed, and the frequency-position channel."""

import torch
from torch import Tensor, nn


def frequency_damper(kernel_size: int, minimum: float) -> Tensor:
    """Return the factors on the rows (frequency axis) of a square kernel, shaped (1, 1, kernel_size, 1).

    The centre row keeps 1, the outermost rows get `minimum`, linearly in between (Koutini et al., DCASE 2020).

    >>> frequency_damper(5, 0.1).flatten().tolist()  # doctest: +ELLIPSIS
    [0.1..., 0.55..., 1.0, 0.55..., 0.1...]
    """
    centre = (kernel_size - 1) / 2
    distance = (torch.arange(kernel_size) - centre).abs() / max(centre, 1)
    return (1 - (1 - minimum) * distance).view(1, 1, -1, 1)


class DampedConv2d(nn.Conv2d):
    """A convolution whose weight is damped along frequency in every forward pass; it adds no parameters."""

    damper: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, minimum: float, **options: object):
        super().__init__(in_channels, out_channels, kernel_size, **options)  # type: ignore[arg-type]
        self.register_buffer("damper", frequency_damper(kernel_size, minimum), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, mel, frame) to (batch, out_channels, mel, frame)."""
        return self._conv_forward(x, self.weight * self.damper, self.bias)


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, damping: float | None, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """Build a bias-free convolution, damped along frequency when `damping` is given and there is something to damp."""
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
