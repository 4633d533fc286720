"""Memory-replay Knowledge Distillation as a training method of an experiment.

Source: Wang, Zhang and Li, "Memory-Replay Knowledge Distillation", Sensors 2021, 21, 2792.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator
from torch import Tensor, nn

from asc_mrkd.config import Experiment
from asc_mrkd.device import choose_device
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods.base import Method, parameters_with_default
from asc_mrkd.mrkd import PRESETS, VARIANTS, Interval, MemoryReplay
from asc_mrkd.mrkd.adjustment import Adjustment
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.mrkd.presets import default_preset
from asc_mrkd.mrkd.teachers import require_fitting_options
from asc_mrkd.schema import NUMBER, Few, Fraction, Schema, Temperature


def _require_interval(value: Any) -> Any:
    Interval.parse(value)
    return value


def _read_switch(value: Any) -> Any:
    """Return the adjustment for `on` and `off`, which YAML reads as truth values."""
    if value is True:
        return "swap"
    if value is False:
        return "none"
    return value


IntervalOption = Annotated[int | float | str, BeforeValidator(_require_interval)]
"""An interval as it is written in an experiment: steps, a share of the run, or "25 epochs"."""

RANGES: dict[str, Any] = {
    "num_backups": Few,
    "alpha": Fraction,
    "temperature": Temperature,
    "ensemble_layers": Annotated[int, Field(ge=0, le=4), NUMBER],
    "adjustment": Annotated[Adjustment, BeforeValidator(_read_switch)],
    "teacher_devices": list[str] | None,
}
"""Types and ranges of arguments of `MemoryReplay` in an experiment; the other arguments have the types given there."""


class Mrkd(Method):
    """Memory-replay Knowledge Distillation; the options are the arguments of `asc_mrkd.MemoryReplay`.

    Args:
        model: the student.
        num_classes: classes.
        train_samples: samples of the training set.
        total_steps: optimiser steps of the run.
        steps_per_epoch: optimiser steps per epoch.
        seed: seed of the initial weights of the ensemble.
        preset: name of one of `asc_mrkd.mrkd.PRESETS`; None is `paper`, with `teachers=replay` it is `robust`.
        variant: name of one of `asc_mrkd.mrkd.VARIANTS`.
        interval: time between two backups: steps, a share of the run, or "25 epochs".
        options: arguments of `MemoryReplay`; they take precedence over the preset, and must not contradict the variant.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        train_samples: int,
        total_steps: int,
        steps_per_epoch: int,
        seed: int,
        *,
        preset: Literal["paper", "robust"] | None = None,
        variant: Literal["full", "plain", "no_ka", "no_fcn", "mean"] = "full",
        interval: IntervalOption = 0.125,
        **options: Any,
    ) -> None:
        super().__init__()
        options = fill_in_named({"preset": preset, "variant": variant, **options})
        for name in ("preset", "variant"):
            del options[name]
        self.replay = MemoryReplay(
            model,
            num_classes,
            interval=interval,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            num_samples=train_samples,
            seed=seed,
            **options,
        )
        if self.replay.teachers.needs_samples:
            self.needs = ("index",)
        self.period = self.replay.period

    @property
    def model(self) -> nn.Module:  # type: ignore[override]
        """The student."""
        return self.replay.model

    @property
    def has_unused_parameters(self) -> bool:  # type: ignore[override]
        """Whether the ensemble gets no gradient, as before there is a teacher."""
        return self.replay.distillation_weight() == 0

    def training_losses(self, x: Any, labels: Labels, index: Tensor | None = None) -> Losses:
        """Return the loss of Eq. 8 for a batch.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            index: numbers of the samples in the training set (batch,), for the teachers that need them.
        """
        return self.replay(x, labels, samples=index)

    def step(self) -> None:
        """Count one optimiser step and store a backup when it is time."""
        super().step()
        self.replay.step()

    @classmethod
    def check_experiment(cls, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Refuse devices of the teachers that do not exist, and teachers that do not go with the other options.

        Raises:
            ConfigError: the device or the option is named.
        """
        require_fitting_options(options["teachers"], options)
        require_fitting_augmentation(options["teachers"], experiment)
        for device in options["teacher_devices"] or ():
            choose_device(device)

    @classmethod
    def options_schema(cls) -> type[Schema]:
        """Return the schema of the options: the own ones, and the arguments of `MemoryReplay`."""
        arguments = parameters_with_default(MemoryReplay)
        for name in ("total_steps", "steps_per_epoch", "num_samples", "seed", "logits_of"):
            del arguments[name]
        for name, annotation in RANGES.items():
            arguments[name] = (annotation, arguments[name][1])
        options: dict[str, Any] = {**arguments, **parameters_with_default(cls)}
        return create_model(cls.__name__, __base__=_NamedOptions, **options)


def require_fitting_augmentation(teachers: str, experiment: Experiment, option: str = "teachers") -> None:
    """Refuse an augmentation whose inputs the teachers would have to know before.

    Args:
        teachers: source of their logits.
        experiment: the experiment.
        option: option of the method that names the source.

    Raises:
        ConfigError: the augmentation is named.
    """
    random = [key for key in ("mixup", *experiment.domain.augmentations) if getattr(experiment.augment, key)]
    if teachers == "replay" and "mixup" in random:
        raise ConfigError(
            f"method.{option}=replay has the logits of other mixtures than augment.mixup makes in the next epoch",
            f"write method.{option}=exact, or augment.mixup=0",
        )
    if teachers == "cached" and random:
        raise ConfigError(
            f"method.{option}=cached needs the same inputs in every epoch, which augment.{random[0]} changes",
            f"switch augment.{random[0]} off, or write method.{option}=exact",
        )


class _NamedOptions(Schema):
    """Options that a preset and a variant fill in before they are checked."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: dict[str, Any]) -> dict[str, Any]:
        return fill_in_named(values)

    @model_validator(mode="after")
    def _require_variant(self) -> "_NamedOptions":
        """Refuse an option that puts back a part which the variant, by whose name tables call the run, leaves out."""
        options = self.model_dump()
        variant = options["variant"]
        for name, value in VARIANTS[variant].options.items():
            if options[name] != value:
                raise ValueError(f"variant={variant} has {name}={value}, not {options[name]}")
        return self


def fill_in_named(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with those of their preset and variant added; given values stay.

    >>> fill_in_named({"variant": "plain", "warmup": "skip"})["warmup"]
    'skip'
    >>> fill_in_named({"teachers": "replay"})["preset"]
    'robust'
    """
    preset = options.get("preset") or default_preset(str(options.get("teachers")))
    variant = VARIANTS.get(str(options.get("variant", "full")), VARIANTS["full"])
    filled = {**variant.options, **options, "preset": preset}
    for name, value in PRESETS.get(str(preset), {}).items():
        if filled.get(name) is None:
            filled[name] = value
    return filled
