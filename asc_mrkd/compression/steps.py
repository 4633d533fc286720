"""The steps that make a trained network smaller, and their written form: `prune:amount=0.1+float16`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from asc_mrkd.compression.decompose import decompose
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.errors import ConfigError, require_known
from asc_mrkd.models.pruning import prune
from asc_mrkd.schema import Count, Fraction, Schema, parse, parse_call

INT8 = "int8"
"""Name of the step that takes place while the file is written."""

SEPARATOR = "+"
"""Character between two steps."""


class NoOptions(Schema):
    """Options of a step that has none."""


class PruneOptions(Schema):
    """Options of magnitude pruning; see `asc_mrkd.models.pruning.prune`."""

    amount: Fraction
    scope: Literal["global", "layer"] = "global"
    kernels: Literal["all", "1x1"] = "all"


class DecomposeOptions(Schema):
    """Options of the decomposition; see `asc_mrkd.compression.decompose.decompose`."""

    factor: Annotated[Count, Field(ge=2)] = 4


@dataclass(frozen=True)
class StepKind:
    """One row of the table of steps."""

    options: type[Schema]
    """Section that checks the options."""
    title: str
    """Description in words."""
    apply: Callable[[ModelFile, Any], ModelFile]
    """Function from a model file and the options to the smaller one."""


@dataclass(frozen=True)
class Step:
    """One step with its options."""

    name: str
    text: str
    """The step as it was written."""
    kind: StepKind
    options: Schema


def _prune(file: ModelFile, options: PruneOptions) -> ModelFile:
    return replace(file, model=prune(file.model, options.amount, options.scope, options.kernels))


def _decompose(file: ModelFile, options: DecomposeOptions) -> ModelFile:
    return decompose(file, options.factor)


def _store_as_float16(file: ModelFile, options: NoOptions) -> ModelFile:
    return replace(file, dtype="float16")


def _leave(file: ModelFile, options: NoOptions) -> ModelFile:
    return file


STEPS: dict[str, StepKind] = {
    "decompose": StepKind(DecomposeOptions, "decomposed convolutions", _decompose),
    "prune": StepKind(PruneOptions, "magnitude pruning", _prune),
    "float16": StepKind(NoOptions, "weights stored as float16", _store_as_float16),
    INT8: StepKind(NoOptions, "int8 quantisation", _leave),
}
"""Steps by name, in the order in which they can be combined; float16 and int8 exclude each other."""


def parse_steps(text: str) -> list[Step]:
    """Read `name:option=value,...+name`; an empty text has no steps.

    Raises:
        ConfigError: an unknown step or option, or steps that cannot be combined.

    >>> [(step.kind.title, step.options.model_dump()) for step in parse_steps("decompose:factor=2+float16")]
    [('decomposed convolutions', {'factor': 2}), ('weights stored as float16', {})]
    """
    steps = [_parse_step(part) for part in text.split(SEPARATOR) if part]
    names = [step.name for step in steps]
    in_order = [name for name in STEPS if name in names]
    if names != in_order or {"float16", INT8} <= set(names):
        raise ConfigError(f"the steps {text} cannot be combined", "order: decompose, prune, then float16 or int8")
    return steps


def _parse_step(text: str) -> Step:
    name, options = parse_call(text)
    require_known(name, STEPS, "step")
    kind = STEPS[name]
    return Step(name, text, kind, parse(kind.options, options, f"step {name}"))


def apply_steps(file: ModelFile, steps: list[Step]) -> ModelFile:
    """Return the network after some steps; int8 changes nothing yet, it takes place while the file is written.

    Raises:
        ModelError: the network does not allow a step.
    """
    for step in steps:
        file = step.kind.apply(file, step.options)
    return file
