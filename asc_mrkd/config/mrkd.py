"""The section of Memory-replay Knowledge Distillation: its options, its presets and its variants."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from asc_mrkd.schema import Count, Fraction, Positive, Schema

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

MRKD_VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "plain": {"ensemble": False, "adjustment": "none"},
    "no_ka": {"adjustment": "none"},
    "no_fcn": {"ensemble": False},
    "mean": {"depth": 0},
}
"""The method with parts taken out: Table 3 (`plain`, `no_ka`), adjustment alone, and no layers in Figure 9 (`mean`)."""


class MrkdConfig(Schema):
    """Memory-replay Knowledge Distillation; the fields are the arguments of `asc_mrkd.MemoryReplay`."""

    title: ClassVar[str] = "MrKD"
    name: Literal["mrkd"] = "mrkd"
    preset: Literal["paper", "robust"] = "robust"
    variant: Literal["full", "plain", "no_ka", "no_fcn", "mean"] = "full"
    copies: Count = 3
    interval: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0.0, lt=1.0)] | str = 0.125
    """Steps between two backups: an integer, a fraction of the run, or "25 epochs"."""
    alpha: Fraction = 0.5
    temperature: Positive = 3.0
    ensemble: bool = True
    depth: Annotated[int, Field(ge=0, le=4)] = 2
    ensemble_loss: Literal["kl", "ce", "kl+ce"] = "kl"
    adjustment: Literal["swap", "revision", "skip_wrong", "mask", "none"] = "swap"
    adjustment_gradient: Literal["literal", "detached"] = "literal"
    ensemble_input: Literal["raw", "temperature", "layernorm"] = "temperature"
    teacher_bn: Literal["eval", "batch"] = "batch"
    before_first: Literal["init", "ramp", "skip"] = "ramp"
    snapshot_source: Literal["raw", "ema"] = "raw"
    teacher_devices: list[str] | None = None
    """Devices that the backups are spread over, as in [cuda:1, cuda:2]; None is the student's own."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset_and_variant(cls, values: dict[str, Any]) -> dict[str, Any]:
        preset = MRKD_PRESETS.get(values.get("preset", "robust"), {})
        variant = MRKD_VARIANTS.get(values.get("variant", "full"), {})
        return {**preset, **variant, **values}

    @field_validator("adjustment", mode="before")
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        """YAML reads `on` and `off` as truth values."""
        return {True: "swap", False: "none"}[value] if isinstance(value, bool) else value

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
