"""Networks of the challenges, rebuilt from their published shapes.

Also for the command line: `asc-mrkd check-budget tests/helpers/baselines.py:baseline_2020 --input-shape 1,40,500`.
"""

import warnings

import torch
from torch import nn


def filled(model: nn.Module) -> nn.Module:
    """Set every value to one, running statistics included: a trained network has no value that is exactly zero."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(1)
    return model


def baseline(
    channels: tuple[int, ...],
    pools: tuple[tuple[int, int] | None, ...],
    hidden: int,
    classes: int,
    batch_norm: bool = True,
) -> nn.Sequential:
    """7 x 7 convolutions, each with an entry of `pools` behind it or None, then two dense layers."""
    layers: list[nn.Module] = []
    for source, target, pool in zip((1, *channels), channels, pools, strict=False):
        layers += [nn.Conv2d(source, target, 7, padding=3)]
        layers += [nn.BatchNorm2d(target)] if batch_norm else []
        layers += [nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] if pool else []
    flat = 2 * channels[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def baseline_2020() -> nn.Module:
    """DCASE 2020 task 1B, input 1 x 40 x 500."""
    return filled(baseline((32, 64), ((5, 5), (4, 100)), hidden=100, classes=3))


class FrequencyNorm(nn.BatchNorm2d):
    """Batch normalisation over the frequency axis, where keras has it when the axis is left at 1."""

    def forward(self, x):
        """Map (batch, channel, mel, frame) to the same shape."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def baseline_2018() -> nn.Module:
    """DCASE 2018 task 1A, input 1 x 40 x 500; its batch normalisations run over 40 and 8 bins of frequency."""
    network = baseline((32, 64), ((5, 5), (4, 100)), hidden=100, classes=10)
    network[1], network[5] = FrequencyNorm(40), FrequencyNorm(8)
    return filled(network)


def baseline_2021() -> nn.Module:
    """DCASE 2021 task 1A, input 1 x 40 x 500: half precision, but batch normalisation in float32."""
    network = filled(baseline((16, 16, 32), (None, (5, 5), (4, 100)), hidden=100, classes=10)).half()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.float()
    return network


def baseline_2021_folded() -> nn.Module:
    """The same network as its TFLite file has it: batch normalisation folded into the convolutions, all half."""
    return filled(baseline((16, 16, 32), (None, (5, 5), (4, 100)), 100, 10, batch_norm=False)).half()


def baseline_2022() -> nn.Module:
    """DCASE 2022 task 1, input 1 x 40 x 51, batch normalisation folded into the convolutions."""
    return filled(baseline((16, 16, 32), (None, (5, 5), (4, 10)), 100, 10, batch_norm=False))


def baseline_2022_int8() -> nn.Module:
    """The same network, quantised by torch.ao: int8 weights, biases of four bytes."""
    quantise = torch.ao.quantization
    network = nn.Sequential(quantise.QuantStub(), *baseline_2022(), quantise.DeQuantStub()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao warns of its own observers
        network.qconfig = quantise.get_default_qconfig(torch.backends.quantized.engine)
        network = quantise.prepare(network)
        network(torch.zeros(1, 1, 40, 51))
        return quantise.convert(network)


def nessi_test() -> nn.Module:
    """The network that NeSsi is tested with, input 3 x 320 x 320."""

    def separable(source: int, target: int, first_norm: list[nn.Module]) -> list[nn.Module]:
        depthwise = nn.Conv2d(46, 46, 3, groups=46, bias=False), nn.BatchNorm2d(46), nn.ReLU()
        return [nn.Conv2d(source, 46, 1, bias=False), *first_norm, *depthwise, nn.Conv2d(46, target, 1, bias=False)]

    second = separable(16, 12, [nn.BatchNorm2d(46), nn.ReLU()])
    return filled(nn.Sequential(*separable(3, 16, [nn.ReLU(), nn.BatchNorm2d(46)]), *second))


def submission_2() -> nn.Module:
    """CP-JKU's second entry to DCASE 2020 task 1B in float16: damped, its 1x1 convolutions pruned to 250,000 values."""
    from asc_mrkd.models import build_model

    network = filled(build_model("cp_resnet", 3, rho=4, width=64, blocks=(4, 2, 0), damping=0.1))
    too_many = sum(parameter.numel() for parameter in network.parameters()) - 250_000
    for layer in reversed(list(network.modules())):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.out_channels > 3:
            weight = layer.weight.data.flatten()
            weight[: min(too_many, len(weight))] = 0.0
            too_many -= min(too_many, len(weight))
    return network.half()
