"""The steps that make a trained network smaller, and how they are written: `prune:amount=0.1+float16`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from asc_mrkd.compression.decompose import decompose
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.models.pruning import prune
from asc_mrkd.schema import Count, Fraction, Schema, parse

INT8 = "int8"
SEPARATOR = "+"


class _Nothing(Schema):
    """A step without options."""


class _Prune(Schema):
    amount: Fraction
    scope: Literal["global", "layer"] = "global"
    kernels: Literal["all", "1x1"] = "all"


class _Decompose(Schema):
    factor: Annotated[Count, Field(ge=2)] = 4


@dataclass(frozen=True)
class StepKind:
    """One kind of step: its options, what it does in words, and the function that does it."""

    options: type[Schema]
    title: str
    apply: Callable[[ModelFile, Any], ModelFile]


def _prune(file: ModelFile, options: _Prune) -> ModelFile:
    return replace(file, model=prune(file.model, options.amount, options.scope, options.kernels))


STEPS: dict[str, StepKind] = {
    "decompose": StepKind(_Decompose, "decomposed convolutions", lambda file, options: decompose(file, options.factor)),
    "prune": StepKind(_Prune, "magnitude pruning", _prune),
    "float16": StepKind(_Nothing, "weights stored as float16", lambda file, options: replace(file, dtype="float16")),
    INT8: StepKind(_Nothing, "int8 quantisation", lambda file, options: file),  # while the file is written
}
"""The kinds by name, in the order in which they may be combined; float16 and int8 exclude each other."""


def apply_steps(file: ModelFile, steps: str) -> ModelFile:
    """Return the network after some steps; int8 is for the file that is written and changes nothing here.

    Raises:
        ConfigError: an unknown step or option, or steps that cannot be combined.
        ModelError: the network does not allow a step.
    """
    for kind, options in parse_steps(steps):
        file = kind.apply(file, options)
    return file


def parse_steps(steps: str) -> list[tuple[StepKind, Schema]]:
    """Read `name:option=value,...+name` into kinds and their options.

    >>> [(kind.title, options.model_dump()) for kind, options in parse_steps("decompose:factor=2+float16")]
    [('decomposed convolutions', {'factor': 2}), ('weights stored as float16', {})]
    """
    parsed, names = [], []
    for step in filter(None, steps.split(SEPARATOR)):
        name, _, text = step.partition(":")
        if name not in STEPS:
            raise ConfigError(f"there is no step '{name}'", suggest(name, STEPS))
        values = {key: value for key, _, value in (part.partition("=") for part in text.split(",") if part)}
        parsed.append((STEPS[name], parse(STEPS[name].options, values, f"step {name}")))
        names.append(name)
    order = [name for name in STEPS if name in names]
    if names != order or {"float16", INT8} <= set(names):
        raise ConfigError(f"the steps {steps} cannot be combined", "order: decompose, prune, then float16 or int8")
    return parsed
