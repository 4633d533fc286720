"""Complexity rules of the challenges, as data, and limits of one's own."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from asc_mrkd.errors import ConfigError, require_known
from asc_mrkd.files import format_bytes


@dataclass(frozen=True)
class Rule:
    """Counting rule and limits of one challenge."""

    name: str
    """Name on the command line."""
    title: str
    """Name in messages."""
    limit: int
    """Largest size allowed, in bytes."""
    counts_zeros: bool
    """Whether a value that is exactly zero takes space."""
    counts_batch_norm: bool
    """Whether batch normalisation (scale and shift) takes space."""
    source: str
    """Repositories and files that the rule is taken from."""
    counts_running_statistics: bool = False
    """Whether the running mean and variance of batch normalisation take space too."""
    grey_limit: int | None = None
    """Upper reading of the limit, in bytes, where the sources disagree; a size between the two does not pass."""
    stored_as: str | None = None
    """Precision at which every floating-point value of a torch network counts, however it is stored; None takes its
    own. An .onnx file counts as it is stored."""
    multiply_adds: int | None = None
    """Largest number of multiply-adds allowed for one input; None sets no limit."""
    onnx_macs: Literal["torchinfo", "nessi"] = "torchinfo"
    """Rule for the multiply-adds of an .onnx file: as for a torch network, or as NeSsi counts a TFLite file."""
    note: str = ""
    """Condition that the figures do not show."""
    ram: int | None = None
    """Largest memory of activations allowed, in bytes; None sets no limit."""

    def describe_limits(self) -> str:
        """Return the limits in words.

        >>> RULES["dcase2024-task1"].describe_limits()
        'at most 128,000 bytes (125 KB), 30 MMAC'
        """
        text = f"at most {exact_size(self.limit)}"
        if self.grey_limit is not None:
            text += f", by another reading {exact_size(self.grey_limit)}"
        if self.multiply_adds is not None:
            text += f", {self.multiply_adds / 1e6:,.0f} MMAC"
        if self.ram is not None:
            text += f", RAM {exact_size(self.ram)}"
        return text


_KB_128 = 128_000
"""128 kB of 1000 bytes."""

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
"""Bytes per value of a network stored at this precision."""

WIDTHS: dict[str, int] = {
    **dict.fromkeys(("float64", "int64", "uint64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "qint8", "quint8", "float8_e4m3fn", "float8_e5m2"), 1),
}
"""Bytes per value of each dtype: those of the calculators of 2020 and 2025, and torch's own float8."""


UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2}
"""Units of a memory, as the makers of chips use them."""

LIMITS = ("bytes", "ram", "macs")
"""Keys of limits of one's own."""


def parse_memory(text: str) -> int:
    """Read a size in bytes, KB of 1024 bytes or MB of 1024 KB.

    Raises:
        ConfigError: the text is not a valid size.

    >>> parse_memory("256KB"), parse_memory("1.5 MB"), parse_memory("512000"), parse_memory("30e6")
    (262144, 1572864, 512000, 30000000)
    """
    written = re.fullmatch(r"([0-9.]+(?:e[0-9]{1,2})?) *([KM]?B|)", text.strip(), flags=re.IGNORECASE)
    try:
        size = float(written[1]) * UNITS[written[2].upper()] if written else 0.0
    except ValueError:
        size = 0.0
    if not 1 <= size < 2**62:
        raise ConfigError(f"'{text}' is not a valid size", "write bytes or a unit of 1024: 262144, 256KB, 1.5MB")
    return round(size)


def parse_limits(text: str) -> Rule:
    """Read limits of one's own as a rule that counts every value as it is stored.

    Raises:
        ConfigError: an unknown key, a key twice, no `bytes`, or a value that is not a valid size.

    >>> parse_limits("bytes=512000,ram=256KB,macs=30e6").describe_limits()
    'at most 512,000 bytes (500 KB), 30 MMAC, RAM 262,144 bytes (256 KB)'
    """
    limits: dict[str, int] = {}
    for part in text.split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        require_known(key, LIMITS, "limit")
        if key in limits:
            raise ConfigError(f"'{key}' appears twice in '{text}'", "keep one of them")
        limits[key] = parse_memory(value)
    if "bytes" not in limits:
        raise ConfigError(f"'{text}' does not limit the bytes", "write bytes=512000; --ram adds memory to another rule")
    return Rule(
        name="own",
        title="your limits",
        limit=limits["bytes"],
        counts_zeros=True,
        counts_batch_norm=True,
        source="the command line",
        multiply_adds=limits.get("macs"),
        ram=limits.get("ram"),
    )


def choose_rule(rule: str | Rule, limits: str | None = None, ram: str | None = None) -> Rule:
    """Return a rule by its name, or limits of one's own in its place, with a limit of the memory added.

    Raises:
        ConfigError: unknown rule, or limits that are not valid.

    >>> choose_rule("dcase2020-task1b", ram="64KB").ram
    65536
    """
    chosen = find_rule(rule) if limits is None else parse_limits(limits)
    return chosen if ram is None else replace(chosen, ram=parse_memory(ram))


def find_rule(rule: str | Rule, precision: str | None = None) -> Rule:
    """Return a rule by its name, and check the precision to count with.

    Raises:
        ConfigError: unknown rule or precision, with a suggestion.
    """
    if precision is not None:
        require_known(precision, PRECISIONS, "precision")
    if isinstance(rule, Rule):
        return rule
    require_known(rule, RULES, "rule")
    return RULES[rule]


def exact_size(size: int) -> str:
    """Write a size as the organisers' calculator does: in bytes, and in units of 1024 with four digits.

    >>> exact_size(485184), exact_size(512000), exact_size(1000)
    ('485,184 bytes (473.8 KB)', '512,000 bytes (500 KB)', '1,000 bytes')
    """
    if abs(size) < 1024:
        return f"{size:,} bytes"
    return f"{size:,} bytes ({format_bytes(size, kilo=1024)})"
