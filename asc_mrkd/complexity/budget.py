"""The verdict: does a network fit the size limit of a challenge?"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from asc_mrkd.complexity.count import LayerCount, count_layers
from asc_mrkd.complexity.resolve import resolve_model
from asc_mrkd.complexity.rules import PRECISIONS, RULES, Rule
from asc_mrkd.errors import ConfigError, suggest


@dataclass(frozen=True)
class Budget:
    """A network counted under a rule; sizes are in bytes."""

    rule: Rule
    precision: str | None
    """Precision at which the network was taken to be stored; None means as it is."""
    rows: list[LayerCount]
    buffers: int
    """Values held in buffers (running statistics, fixed masks), which are not counted."""
    what_if: dict[str, int]
    """Size of the network under the same rule if it were stored at each precision."""

    @property
    def counted(self) -> int:
        """Values that the rule counts."""
        rows = counted_rows(self.rows, self.rule)
        return sum(row.parameters if self.rule.counts_zeros else row.non_zero for row in rows)

    @property
    def bytes(self) -> int:
        """Size under the rule."""
        return sum(layer_bytes(row, self.rule) for row in self.rows)

    @property
    def limit(self) -> int:
        """Largest size that the rule allows."""
        return self.rule.limit

    @property
    def headroom(self) -> int:
        """Bytes left below the limit; negative when over."""
        return self.limit - self.bytes

    @property
    def within(self) -> bool:
        """Whether the network fits."""
        return self.headroom >= 0

    @property
    def parameters(self) -> int:
        """All parameters, counted by the rule or not."""
        return sum(row.parameters for row in self.rows)

    @property
    def non_zero(self) -> int:
        """All parameters that are not zero, counted by the rule or not."""
        return sum(row.non_zero for row in self.rows)

    @property
    def batch_norm(self) -> int:
        """Parameters of batch normalisation."""
        return sum(row.parameters for row in self.rows if row.is_batch_norm)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one input; 0 when the input shape was not known."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def largest(self) -> list[LayerCount]:
        """The three layers that take most of the budget."""
        return sorted(counted_rows(self.rows, self.rule), key=lambda row: -layer_bytes(row, self.rule))[:3]


def check_budget(
    model: nn.Module | str | os.PathLike[str],
    rule: str | Rule = "dcase2020-task1b",
    precision: str | None = None,
    input_shape: Sequence[int] | None = None,
) -> Budget:
    """Count `model` under the size rule of a challenge.

    Args:
        model: a network, a model file, a seed or run folder, or `name:option=value,...` for an untrained network.
        rule: a key of `asc_mrkd.complexity.RULES`, or a rule of your own.
        precision: `float32`, `float16` or `int8` counts every floating-point value at that width; None by its dtype.
        input_shape: (channel, mel, frame) for the multiply-adds; a model file knows its own.

    Raises:
        ConfigError: unknown rule or precision, with a suggestion.
        ModelError, RunError, DamagedFileError: `model` names nothing that can be counted.

    >>> budget = check_budget("cp_resnet_damped:num_classes=3", precision="float16")
    >>> budget.within, format_bytes(budget.bytes)
    (True, '485,184 bytes (473.8 KB)')
    """
    if isinstance(rule, str):
        rule = RULES[_known(rule, RULES, "rule")]
    if precision is not None:
        _known(precision, PRECISIONS, "precision")
    if not isinstance(model, nn.Module):
        model, usual_shape = resolve_model(model)
        input_shape = input_shape or usual_shape
    what_if = {name: sum(layer_bytes(row, rule) for row in count_layers(model, precision=name)) for name in PRECISIONS}
    return Budget(
        rule=rule,
        precision=precision,
        rows=count_layers(model, input_shape, precision),
        buffers=sum(buffer.numel() for buffer in model.buffers()),
        what_if=what_if,
    )


def counted_rows(rows: Iterable[LayerCount], rule: Rule) -> list[LayerCount]:
    """Return the layers that take space under `rule`."""
    return [row for row in rows if rule.counts_batch_norm or not row.is_batch_norm]


def layer_bytes(row: LayerCount, rule: Rule) -> int:
    """Return the size of one layer in bytes under `rule`."""
    if row.is_batch_norm and not rule.counts_batch_norm:
        return 0
    return row.bytes if rule.counts_zeros else row.non_zero_bytes


def format_bytes(size: int) -> str:
    """Write a size as the organisers' calculator does: units of 1024, four digits.

    >>> format_bytes(485184), format_bytes(512000), format_bytes(1000)
    ('485,184 bytes (473.8 KB)', '512,000 bytes (500 KB)', '1,000 bytes')
    """
    return f"{size:,} bytes" if abs(size) < 1024 else f"{size:,} bytes ({short_bytes(size)})"


def short_bytes(size: int) -> str:
    """Write a size in its largest unit of 1024.

    >>> short_bytes(35040), short_bytes(14201856), short_bytes(96)
    ('34.22 KB', '13.54 MB', '96 bytes')
    """
    if abs(size) < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.4g} KB" if abs(size) < 1024**2 else f"{size / 1024**2:.4g} MB"


def _known(name: str, table: Iterable[str], what: str) -> str:
    if name in table:
        return name
    raise ConfigError(f"there is no {what} '{name}'", suggest(name, table))
