"""Model-size rules of the challenges, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What one challenge counts, and how much of it is allowed."""

    name: str
    title: str
    limit: int
    """Largest size allowed, in bytes."""
    counts_zeros: bool
    """Whether a value that is exactly zero takes space."""
    counts_batch_norm: bool
    """Whether batch normalisation (scale and shift) takes space."""
    source: str


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name="dcase2020-task1b",
            title="DCASE 2020 task 1B",
            limit=500 * 1024,
            counts_zeros=False,
            counts_batch_norm=False,
            source="DCASE 2020 task 1B rules and the organisers' baseline calculator (model_size_calculation.py): "
            "500 KB of 1024 bytes of non-zero parameters, batch normalisation left out",
        ),
    )
}

PRECISIONS: dict[str, int] = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes a value takes when a network is stored at this precision."""
