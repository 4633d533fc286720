"""Small networks whose values are drawn from a seed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asc_mrkd.models import build_model
from asc_mrkd.schema import parse_call

IMAGE_NETWORKS = {
    "resnet20": {"depth": 8, "width": 4},
    "resnet20:shortcut=B": {"depth": 8, "width": 8},  # torch 2.11 corrupts memory below 8, channels_last, one thread
    "resnet164": {"depth": 11, "width": 2},
    "wrn_16_8": {"depth": 10, "width": 1},
    "resnext29_8x64d": {"depth": 11, "cardinality": 2, "width": 4},
}
"""Options that make each image network small."""


def small_image_network(spec: str, seed: int = 0, **options: object) -> nn.Module:
    """Build a small network of 7 classes whose batch normalisation is not the identity; `spec` names a row above."""
    torch.manual_seed(seed)
    name, written = parse_call(spec)
    model = build_model(name, 7, **(written | IMAGE_NETWORKS[spec] | options)).eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return model


def run_and_watch(network: nn.Module, layers: Sequence[str], x: Tensor) -> tuple[Tensor, dict[str, tuple[int, ...]]]:
    """Run a network and return its output, and the shapes that some layers gave, without the batch."""
    shapes = {}
    for name in layers:
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        return network(x), shapes
