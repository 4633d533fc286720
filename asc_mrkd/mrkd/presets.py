"""Presets and variants of the method: options of `MemoryReplay` by name, as plain values."""

from dataclasses import dataclass, field
from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"ensemble_input": "raw", "teacher_bn": "eval", "warmup": "untrained"},
    "robust": {"ensemble_input": "temperature", "teacher_bn": "batch", "warmup": "ramp"},
}
"""`paper` reads Algorithm 2 literally. With `robust` only real backups teach, by the statistics of the batch, and the
ensemble sees their logits divided by the temperature."""


def default_preset(teachers: str) -> str:
    """Return the preset that holds where none is named; without copies of the network, as in `replay`, not `paper`."""
    return "robust" if teachers == "replay" else "paper"


@dataclass(frozen=True)
class Variant:
    """The method with some parts left out."""

    title: str
    """Name of the variant in tables and figures."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of `MemoryReplay` that leave the parts out."""


VARIANTS: dict[str, Variant] = {
    "full": Variant("MrKD"),
    "plain": Variant("MrKD plain", {"ensemble": False, "adjustment": "none"}),
    "no_ka": Variant("MrKD w/o KA", {"adjustment": "none"}),
    "no_fcn": Variant("MrKD w/o FCN", {"ensemble": False}),
    "mean": Variant("MrKD mean", {"ensemble_layers": 0}),
}
"""The ablations: Table 3 (`plain`, `no_ka`), knowledge adjustment alone, and Figure 9 without layers (`mean`)."""
