"""Early classifiers on the layers of a network, through hooks that exist while it runs."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.errors import SHOWN, ConfigError, ModelError, first_line, suggest
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.networks import copy_network, device_of, unwrap
from asc_mrkd.rng import torch_seeded

Size = tuple[int, ...]
"""Size of a feature map: (channel, height, width)."""

HEAD_LAYERS = 3
"""Layers of the head of an early classifier: global pooling, flattening, linear."""


@contextmanager
def tapped(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of the named layers while the network runs; outside the block it has no hooks.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with tapped(network, ["0"]) as outputs:
    ...     _ = network(torch.zeros(5, 2))
    >>> outputs["0"].shape, len(network[0]._forward_hooks)
    (torch.Size([5, 3]), 0)
    """
    outputs: dict[str, Tensor] = {}
    hooks = [network.get_submodule(name).register_forward_hook(partial(_keep_output, outputs, name)) for name in layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _keep_output(outputs: dict[str, Tensor], name: str, layer: nn.Module, inputs: Any, output: Tensor) -> None:
    outputs[name] = output


def branch_points(network: nn.Module, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the layers that get an early classifier: the named ones, or those in `network.branch_points`.

    Raises:
        ConfigError: no layers are named, or the network has no layer with a name.
    """
    layers = [name for name, _ in network.named_modules() if name]
    if names is None:
        names = getattr(network, "branch_points", ())
    points = tuple(names)
    if not points:
        raise ConfigError(
            f"no layers of {type(network).__name__} are named for early classifiers",
            f"list some as method.branches=[...], out of {', '.join(layers[:SHOWN])}, ...",
        )
    for name in points:
        if name not in layers:
            raise ConfigError(f"method.branches: {type(network).__name__} has no layer '{name}'", suggest(name, layers))
        if points.count(name) > 1:
            raise ConfigError(f"method.branches: '{name}' appears twice", "a layer has one early classifier")
    return points


def build_branches(
    network: nn.Module, points: Sequence[str], input_shape: Size, num_classes: int, seed: int
) -> nn.ModuleList:
    """Build an early classifier for each point, from its feature map to logits (batch, class), on the network's device.

    Args:
        network: the network; a copy is run, so that its weights and statistics stay as they are.
        points: names of layers.
        input_shape: shape of one input, without the batch.
        num_classes: classes.
        seed: seed of the initial weights; the global generators of torch stay as they were.

    Raises:
        ConfigError: a layer puts out no feature map before the last layer of the network.
    """
    maps = feature_maps(network, input_shape)
    for name in points:
        if name not in maps:
            raise ConfigError(
                f"method.branches: '{name}' has no output (batch, channel, height, width) before the last layer",
                f"these layers have: {', '.join(list(maps)[:SHOWN])}",
            )
    last = list(maps.values())[-1]
    with torch_seeded(seed):
        branches = nn.ModuleList(early_classifier(maps[name], last, num_classes) for name in points)
    return branches.to(device_of(network))


def run_branches(
    model: nn.Module, points: Sequence[str], branches: nn.ModuleList, x: Any
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a network and its early classifiers.

    Args:
        model: the network, wrapped or not.
        points: names of the layers with early classifiers.
        branches: the early classifiers, from `build_branches`.
        x: inputs, batch first.

    Returns:
        The logits of the network (batch, class), those of every early classifier, and the last feature map of each of
        these, before its pooling (batch, channel, height, width).

    Raises:
        ModelError: torch.compile has reused a program of such a network without early classifiers.
    """
    with tapped(unwrap(model), points) as maps:
        deepest = logits_of(model(x))
    if missing := [name for name in points if name not in maps]:
        raise ModelError(
            f"the compiled network skips the early classifiers on {', '.join(missing)}",
            "set torch._dynamo.config.skip_nnmodule_hook_guards = False before anything is compiled",
        )
    parts = [stages_and_head(branch) for branch in branches]
    features = [stages(maps[name]) for name, (stages, _) in zip(points, parts, strict=True)]
    early = [head(feature) for feature, (_, head) in zip(features, parts, strict=True)]
    return deepest, early, features


def stages_and_head(branch: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the stages of an early classifier, and its head: global pooling and a linear layer."""
    layers = list(branch.children())
    return nn.Sequential(*layers[:-HEAD_LAYERS]), nn.Sequential(*layers[-HEAD_LAYERS:])


def size_before_pooling(branch: nn.Module, size: Size) -> Size:
    """Return the size of the last feature map of an early classifier on a map of that size.

    >>> size_before_pooling(early_classifier((4, 8, 8), (12, 2, 2), 3), (4, 8, 8))
    (12, 2, 2)
    """
    stages, _ = stages_and_head(copy.deepcopy(branch).to("meta").eval())
    return tuple(stages(torch.zeros(1, *size, device="meta")).shape[1:])


def feature_maps(network: nn.Module, input_shape: Size) -> dict[str, Size]:
    """Return the sizes of the feature maps that reach the last convolution or linear layer, by layer, in order.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> feature_maps(network, (1, 8, 8))
    {'0': (4, 6, 6), '1': (4, 6, 6)}
    """
    copied = copy_network(network).eval()
    layers = {name: layer for name, layer in copied.named_modules() if name}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), tapped(copied, list(layers)) as outputs:
        try:
            copied(torch.zeros(1, *input_shape, device=device_of(copied)))
        except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            size = " x ".join(map(str, input_shape))
            raise ModelError(
                f"{type(network).__name__} cannot be run on one input of {size}: {first_line(error)}",
                "early classifiers need a network that takes a tensor (batch, channel, height, width)",
            ) from error
    weighted = [order for order, name in enumerate(outputs) if isinstance(layers[name], nn.Conv2d | nn.Linear)]
    before = list(outputs.items())[: max(weighted, default=0)]
    return {name: tuple(x.shape[1:]) for name, x in before if isinstance(x, Tensor) and x.dim() == 4}


def early_classifier(size: Size, last: Size, num_classes: int) -> nn.Sequential:
    """Build 3x3 conv - BN - ReLU stages, global average pooling and a linear layer.

    Every stage doubles the channels and halves the height and the width, until they are those of the last feature map
    of the network; there is at least one stage. The structure is that of Zhang et al., "Be Your Own Teacher" (ICCV
    2019), with plain convolutions in place of its bottlenecks.

    Args:
        size: size of the feature map at its input.
        last: size of the last feature map of the network.
        num_classes: classes.

    >>> [stage.out_channels for stage in early_classifier((16, 32, 32), (64, 8, 8), 10) if isinstance(stage, nn.Conv2d)]
    [32, 64]
    """
    layers: list[nn.Module] = []
    channels, height, width = size
    while not layers or channels != last[0] or height >= 2 * last[1] or width >= 2 * last[2]:
        wider = min(2 * channels, last[0])
        stride = (1 + (height >= 2 * last[1]), 1 + (width >= 2 * last[2]))
        conv = nn.Conv2d(channels, wider, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(wider), nn.ReLU()]
        channels = wider
        height = math.ceil(height / stride[0])
        width = math.ceil(width / stride[1])
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
