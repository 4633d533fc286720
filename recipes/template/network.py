"""A network to start from: a function that takes the number of classes and its own options, and returns a module.

Every argument besides `num_classes` is an option: `model.options.width=32` on the command line. Give each a default.
The module maps a batch (batch, channel, mel, frame) to logits (batch, class), for any number of frames: crops are
shorter than clips. Keep the network in this one file: a run knows it by the file's content.
"""

from torch import nn


def build(num_classes: int, in_channels: int = 2, width: int = 16) -> nn.Module:
    """Return a small convolutional network.

    Args:
        num_classes: number of classes of the data.
        in_channels: channels of a spectrogram, 2 for stereo.
        width: channels of the first block.
    """
    return nn.Sequential(
        block(in_channels, width),
        block(width, 2 * width),
        block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )


def block(in_channels: int, out_channels: int) -> nn.Module:
    """Return a convolution with normalisation that halves height and width."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
