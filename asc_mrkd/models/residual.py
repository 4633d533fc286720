"""Parts that several networks share: convolutions, stages, shortcuts, initial weights and published names."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from asc_mrkd.errors import ModelError

Block = Callable[[int, int, int], nn.Module]
"""Builder of a residual block from its input channels, output channels and stride."""

WRAPPERS = {"module", "_orig_mod", "layer"}
"""Parts of a published name that only stand for a wrapper: DataParallel, torch.compile, a stage of a WRN."""

MAX_DEPTH = 2000
"""Largest depth of a network that is built."""

SYNONYMS = {"fc": "linear", "downsample": "shortcut", "convShortcut": "shortcut.0"} | {
    f"block{stage}": f"layer{stage}" for stage in (1, 2, 3)
}
"""Parts of the names in published checkpoints, and their names here."""


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Build a bias-free 1 x 1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Build a bias-free 3 x 3 convolution that keeps the size of its input, divided by the stride."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, groups=groups, bias=False)


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: tuple[int, int] = (1, 1), groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Build a bias-free convolution that keeps the size of its input, divided by the stride, and its normalisation."""
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(out_channels)


def projection(in_channels: int, out_channels: int, stride: int, norm: bool) -> nn.Sequential:
    """Build a shortcut: the identity where the shape stays, else a 1 x 1 convolution, normalised or not."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    conv = conv1x1(in_channels, out_channels, stride)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels)) if norm else nn.Sequential(conv)


class ZeroPad(nn.Module):
    """Option A of He et al. (CVPR 2016): every `stride`-th pixel, and channels of zeros, half of them on each side."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        before = (out_channels - in_channels) // 2
        self.channels = (before, out_channels - in_channels - before)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        # Pooling single pixels is the strided slice, but its gradient keeps the memory format of the input.
        return functional.pad(functional.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, *self.channels))


def stage(block: Block, in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Chain `blocks` residual blocks; the first one changes the channels and the size."""
    first = block(in_channels, out_channels, stride)
    return nn.Sequential(first, *(block(out_channels, out_channels, 1) for _ in range(blocks - 1)))


def global_average(x: Tensor) -> Tensor:
    """Average over all positions: (batch, channel, height, width) to (batch, channel)."""
    return x.mean(dim=(2, 3))


def finish(network: nn.Module) -> None:
    """Give a new network its initial weights, and let it load checkpoints with published names.

    Convolutions are Kaiming normal by fan-out (He et al., ICCV 2015); batch normalisation starts as the identity,
    residual branches included, and the classifier as torch has it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    network.register_load_state_dict_pre_hook(_take_published_names)


def _take_published_names(network: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = prefix + local_name(key.removeprefix(prefix))
        if name not in state:  # of two spellings of one tensor the second stays, and torch reports it as unexpected
            state[name] = state.pop(key)


def local_name(published: str) -> str:
    """Translate the name of a tensor in a published checkpoint into the name here.

    >>> local_name("module.layer2.0.downsample.1.running_mean")
    'layer2.0.shortcut.1.running_mean'
    >>> local_name("block1.layer.3.bn1.bias")
    'layer1.3.bn1.bias'
    """
    return ".".join(SYNONYMS.get(part, part) for part in published.split(".") if part not in WRAPPERS)


def blocks_per_stage(network: str, depth: int, layers: int, rest: int) -> int:
    """Return the blocks in each of three stages of a network with `depth` = `layers` n + `rest` weighted layers.

    Raises:
        ModelError: the depth is not of that form, or above `MAX_DEPTH`.

    >>> blocks_per_stage("ResNet", depth=56, layers=6, rest=2)
    9
    """
    if depth > MAX_DEPTH:
        raise ModelError(f"{network}: depth {depth} is more than {MAX_DEPTH}", "the deepest published has 1,202 layers")
    blocks, left = divmod(depth - rest, layers)
    if left or blocks < 1:
        nearest = layers * max(1, round((depth - rest) / layers)) + rest
        raise ModelError(f"{network}: depth {depth} is not {layers} n + {rest}", f"the nearest is depth={nearest}")
    return blocks


def require_positive(network: str, **options: int) -> None:
    """Refuse an option that is smaller than one.

    Raises:
        ModelError: the option is named.
    """
    for name, value in options.items():
        if value < 1:
            raise ModelError(f"{network}: {name} must be at least 1, not {value}", f"{name}=1 is the least")
