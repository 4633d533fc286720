"""Complexity rules of the challenges, as data."""

from dataclasses import dataclass
from typing import Literal


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
    counts_running_statistics: bool = False
    """Whether the running mean and variance of batch normalisation take space too."""
    grey_limit: int | None = None
    """Upper reading of the limit, in bytes, where the sources disagree; a size between the two is no pass."""
    stored_as: str | None = None
    """Precision at which every floating-point value of a torch network is taken, however it is stored; None takes its
    own. An .onnx file counts as it is stored."""
    multiply_adds: int | None = None
    """Most multiply-adds allowed for one input; None sets no limit."""
    onnx_macs: Literal["torchinfo", "nessi"] = "torchinfo"
    """How the multiply-adds of an .onnx file count: as those of a torch network, or as NeSsi counts a TFLite file."""
    note: str = ""
    """What else a user must know to apply it."""


_KB_128 = 128_000
"""Values of one byte, or bytes: 128 kB of 1000."""
_MAC_30M = 30_000_000
_ONE_SECOND = "multiply-adds are for an input of 1 second"


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name="dcase2020-task1b",
            title="DCASE 2020 task 1B",
            limit=500 * 1024,
            counts_zeros=False,
            counts_batch_norm=False,
            source="toni-heittola/dcase2020_task1_baseline: README, model_size_calculation.py",
        ),
        Rule(
            name="dcase2021-task1a",
            title="DCASE 2021 task 1A",
            limit=_KB_128,
            grey_limit=128 * 1024,
            counts_zeros=False,
            counts_batch_norm=True,
            counts_running_statistics=True,
            source="marmoi/dcase2021_task1a_baseline: README (32,000 float32 values), calculator (KB of 1024 bytes)",
        ),
        *(
            Rule(
                name=f"dcase{year}-task1",
                title=f"DCASE {year} task 1",
                limit=_KB_128,
                counts_zeros=True,
                counts_batch_norm=True,
                stored_as="int8",
                multiply_adds=_MAC_30M,
                onnx_macs="nessi",
                note=_ONE_SECOND,
                source="marmoi/dcase2022_task1_baseline; AlbertoAncilotto/NeSsi: nessi.py",
            )
            for year in (2022, 2023)
        ),
        Rule(
            name="dcase2024-task1",
            title="DCASE 2024 task 1",
            limit=_KB_128,
            counts_zeros=True,
            counts_batch_norm=True,
            multiply_adds=_MAC_30M,
            note=_ONE_SECOND,
            source="CPJKU/dcase2024_task1_baseline: helpers/nessi.py",
        ),
        Rule(
            name="dcase2025-task1",
            title="DCASE 2025 task 1",
            limit=_KB_128,
            counts_zeros=True,
            counts_batch_norm=True,
            multiply_adds=_MAC_30M,
            note=f"holds for the model of each device on its own; {_ONE_SECOND}",
            source="CPJKU/dcase2025_task1_baseline: helpers/complexity.py",
        ),
    )
}

PRECISIONS: dict[str, int] = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes a value takes when a network is stored at this precision."""

WIDTHS: dict[str, int] = {
    **dict.fromkeys(("float64", "int64", "uint64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "qint8", "quint8", "float8_e4m3fn", "float8_e5m2"), 1),
}
"""Bytes a value takes in each dtype; those of the calculators of 2020 and 2025 and torch's own float8."""
