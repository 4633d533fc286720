"""The typed schema of an experiment."""

import os
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from asc_mrkd.files import write_text
from asc_mrkd.schema import Schema, apply_override, parse, read_yaml

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class DataConfig(Schema):
    """Where the features are."""

    store: str = Field(description="feature store folder made by `asc-mrkd extract-features`")


class AugmentConfig(Schema):
    """What happens to a training batch; every draw is a function of (seed, epoch, sample)."""

    roll_frames: Annotated[int, Field(ge=0)] = 0
    """Circular shift in time by a uniform integer in [-roll_frames, roll_frames]."""
    crop_frames: Count | None = None
    """Train on a random stretch of this many frames; testing uses the whole clip."""
    mixup: Annotated[float, Field(ge=0.0)] = 0.0
    """Parameter of the Beta distribution of Mixup; 0 switches it off."""
    mixup_fold: bool = True
    """Use max(lambda, 1 - lambda), so that the first clip dominates."""


class ModelConfig(Schema):
    """The network and its options (`asc-mrkd models` lists them)."""

    name: str = "cp_resnet"
    options: dict[str, Any] = Field(default_factory=dict)


class CrossEntropyConfig(Schema):
    """Training with labels only: the baseline."""

    name: Literal["ce"] = "ce"


MRKD_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "ensemble_input": "raw",
        "teacher_bn": "eval",
        "before_first": "init",
    },
    "robust": {
        "ensemble_input": "temperature",
        "teacher_bn": "batch",
        "before_first": "ramp",
    },
}
"""`paper` reads Algorithm 2 literally; `robust` keeps early teachers from doing harm."""


class MrkdConfig(Schema):
    """Memory-replay Knowledge Distillation; the fields are the arguments of `asc_mrkd.MemoryReplay`."""

    name: Literal["mrkd"] = "mrkd"
    preset: Literal["paper", "robust"] = "robust"
    copies: Count = 3
    interval: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0.0, lt=1.0)] | str = 0.125
    """Steps between two backups: an integer, a fraction of the run, or "25 epochs"."""
    alpha: Fraction = 0.5
    temperature: Positive = 3.0
    ensemble: bool = True
    depth: Annotated[int, Field(ge=0, le=4)] = 2
    adjustment: bool = True
    adjustment_gradient: Literal["literal", "detached"] = "literal"
    ensemble_input: Literal["raw", "temperature", "layernorm"] = "temperature"
    teacher_bn: Literal["eval", "batch"] = "batch"
    before_first: Literal["init", "ramp", "skip"] = "ramp"

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**MRKD_PRESETS.get(values.get("preset", "robust"), {}), **values}

    @field_validator("interval")
    @classmethod
    def _check_interval(cls, value: int | float | str) -> int | float | str:
        if isinstance(value, str):
            number, _, unit = value.partition(" ")
            if unit not in ("epoch", "epochs") or not _is_positive_number(number):
                raise ValueError('write steps as 9775, a fraction of the run as 0.125, or epochs as "25 epochs"')
        return value


def _is_positive_number(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


class OptimizerConfig(Schema):
    """SGD or Adam with the arguments of torch.optim."""

    name: Literal["sgd", "adam"] = "sgd"
    lr: Positive = 1e-4
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0


class ScheduleConfig(Schema):
    """The factor on the learning rate: 1 for `hold` epochs, linearly to 0 over `decay` epochs, then `floor`."""

    hold: Annotated[float, Field(ge=0.0)] = 0.0
    decay: Positive | None = None
    """Epochs of linear decay; None means until the end of the run."""
    floor: Fraction = 0.0
    per: Literal["step", "epoch"] = "step"


class TrainConfig(Schema):
    """The loop."""

    epochs: Count
    batch_size: Count
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the networks; losses and weights stay float32. `auto` is bfloat16 where the device gains by it."""
    channels_last: bool = False
    compile: bool = False
    evaluate_every: Annotated[int, Field(ge=0)] = 1
    """Epochs between two looks at the test clips, for the learning curve only; 0 looks at the end only."""
    checkpoint_every: Count = 1
    """Epochs between two checkpoints."""


class Experiment(Schema):
    """Everything that decides the numbers of a run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    method: CrossEntropyConfig | MrkdConfig = Field(default=CrossEntropyConfig(), discriminator="name")
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: [0], min_length=1)

    not_numbers: ClassVar[tuple[str, ...]] = ("seeds", "train.device", "train.evaluate_every", "train.checkpoint_every")
    """Keys that may differ when a run is continued, because no weight depends on them."""

    @model_validator(mode="before")
    @classmethod
    def _name_only_method(cls, values: dict[str, Any]) -> dict[str, Any]:
        method = values.get("method")
        return {**values, "method": {"name": method}} if isinstance(method, str) else values


def load_experiment(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Experiment:
    """Read an experiment file and apply `section.key=value` overrides (values are YAML).

    Raises:
        ConfigError: unreadable file, unknown key (with a suggestion), value out of range.
    """
    values = read_yaml(path)
    for override in overrides or []:
        apply_override(values, override)
    return parse(Experiment, values, str(path))


def save_experiment(experiment: Experiment, path: str | os.PathLike[str]) -> None:
    """Write the resolved experiment: every value, the defaults too."""
    write_text(path, yaml.safe_dump(experiment.model_dump(), sort_keys=False))
