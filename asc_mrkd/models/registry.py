"""The table of networks: each name stands for a builder and the options of the published configuration."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import Field, create_model
from torch import nn

from asc_mrkd.errors import ConfigError, ModelError, suggest
from asc_mrkd.models.bc_resnet import BCResNet
from asc_mrkd.models.cp_mobile import CPMobile
from asc_mrkd.models.cp_resnet import CPResNet
from asc_mrkd.models.resnet import PreActivationResNet, ResNet
from asc_mrkd.models.resnext import ResNeXt
from asc_mrkd.models.wide_resnet import WideResNet
from asc_mrkd.schema import NUMBER, Schema, parse

SPECTROGRAM = (256, 431)
"""Usual size of a spectrogram, (mel, frame): 10 seconds in 256 Mel bins."""

ONE_SECOND = (256, 65)
"""Size of a spectrogram, (mel, frame), of one second at 32 kHz and a hop of 500, as in DCASE 2024 and 2025."""

IMAGE = (32, 32)
"""Size of an image of the CIFAR sets, (height, width)."""


OptionInteger = Annotated[int, Field(ge=-1, le=100_000), NUMBER]
OptionNumber = Annotated[float, Field(ge=-1e6, le=1e6), NUMBER]

TYPES: dict[Any, Any] = {
    int: OptionInteger,
    float: OptionNumber,
    float | None: OptionNumber | None,
    Sequence[int]: tuple[OptionInteger, ...],
    bool: bool,
}
"""Types of the numbers among the options; the networks check all else, and have closer ranges of their own."""


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table of networks."""

    builder: Callable[..., nn.Module]
    """Class of the network; its arguments are the options."""
    summary: str
    """Short description."""
    preset: dict[str, Any] = field(default_factory=dict)
    """Options that differ from the defaults of the class."""
    plane: tuple[int, int] = SPECTROGRAM
    """Size of the usual input: (mel, frame) or (height, width)."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the usual input: (channel, mel, frame) or (channel, height, width)."""
        return (self.defaults["in_channels"], *self.plane)

    @property
    def defaults(self) -> dict[str, Any]:
        """All options except the number of classes, with their defaults."""
        parameters = inspect.signature(self.builder).parameters.values()
        return {p.name: p.default for p in parameters if p.name != "num_classes"} | self.preset


MODELS: dict[str, ModelEntry] = {
    "cp_resnet": ModelEntry(CPResNet, "receptive-field-regularised ResNet of DCASE 2018-2020"),
    "cp_resnet_damped": ModelEntry(
        CPResNet,
        "the low-complexity network of DCASE 2020 task 1B: frequency damping",
        {"rho": 4, "width": 48, "blocks": (4, 3, 1), "damping": 0.1},
    ),
    "cp_mobile": ModelEntry(
        CPMobile, "baseline of DCASE 2024 and 2025: inverted residual blocks for one second", plane=ONE_SECOND
    ),
    "bc_resnet": ModelEntry(
        BCResNet, "broadcasted residual blocks and residual normalisation, first in DCASE 2021 task 1A"
    ),
    **{
        f"resnet{depth}": ModelEntry(ResNet, "residual network of basic blocks", {"depth": depth}, IMAGE)
        for depth in (20, 32, 44, 56, 110)
    },
    "resnet164": ModelEntry(
        PreActivationResNet, "residual network of pre-activation bottlenecks", {"depth": 164}, IMAGE
    ),
    "wrn_16_8": ModelEntry(WideResNet, "wide residual network", {"depth": 16, "width": 8}, IMAGE),
    "wrn_28_10": ModelEntry(WideResNet, "wide residual network", {"depth": 28, "width": 10}, IMAGE),
    "resnext29_8x64d": ModelEntry(
        ResNeXt, "residual network of grouped bottlenecks", {"depth": 29, "cardinality": 8, "width": 64}, IMAGE
    ),
}


def build_model(name: str, num_classes: int, **options: Any) -> nn.Module:
    """Build a network by name; `options` replace the defaults of its row in `MODELS`.

    Raises:
        ModelError: unknown name or option, with a suggestion; or an option of a wrong type or out of its range.

    >>> sum(p.numel() for p in build_model("cp_resnet_damped", num_classes=3).parameters())
    245958
    """
    if name not in MODELS:
        raise ModelError(f"there is no network '{name}'", suggest(name, MODELS))
    entry = MODELS[name]
    for option in options:
        if option not in entry.defaults:
            raise ModelError(f"{name} has no option '{option}'", suggest(option, entry.defaults))
    return entry.builder(**_checked_options(entry, {"num_classes": num_classes} | entry.preset | options, name))


def _checked_options(entry: ModelEntry, options: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the options of a network with the types of its builder.

    Raises:
        ModelError: an option is of another type, or a number that is far beyond any network.
    """
    schema = _options_schema(entry.builder)
    try:
        checked = parse(schema, options, name)
    except ConfigError as error:
        raise ModelError(str(error), "asc-mrkd models shows the options and their defaults") from None
    return {option: getattr(checked, option) for option in options}


@cache
def _options_schema(builder: Callable[..., nn.Module]) -> type[Schema]:
    """Return the schema of the arguments of a builder, whose own rules come on top."""
    parameters = inspect.signature(builder).parameters.values()
    arguments: dict[str, Any] = {one.name: (TYPES.get(one.annotation, Any), None) for one in parameters}
    return create_model(builder.__name__, __base__=Schema, **arguments)
