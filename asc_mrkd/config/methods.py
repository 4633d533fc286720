"""The section `method` of an experiment: one class a training method."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from asc_mrkd.schema import Count, Fraction, Positive, Schema


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


class PskdConfig(Schema):
    """Progressive self-knowledge distillation, the paper's Self-KD: last epoch's predictions soften the labels."""

    name: Literal["pskd"] = "pskd"
    alpha: Fraction = 0.8
    """Weight of the past predictions in the last epoch; it grows linearly over the epochs."""
    source: Literal["predictions", "model"] = "predictions"
    """What was predicted on the way through the last epoch, or what the network at its end says of this very input."""


class MsdConfig(Schema):
    """Multi-branch self-distillation: early classifiers and the last one teach each other."""

    name: Literal["msd"] = "msd"
    alpha: Fraction = 0.5
    temperature: Positive = 3.0
    branches: list[str] | None = None
    """Layers with an early classifier; None takes those that the network names."""


MethodConfig = CrossEntropyConfig | MrkdConfig | PskdConfig | MsdConfig
