"""The verdict: does a network fit the limits of a challenge?"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from asc_mrkd.budget.count import LayerCount, count_layers
from asc_mrkd.budget.model_source import resolve_model
from asc_mrkd.budget.rules import PRECISIONS, RULES, Rule
from asc_mrkd.errors import ConfigError, suggest


@dataclass(frozen=True)
class Budget:
    """A network counted under a rule; sizes are in bytes."""

    rule: Rule
    precision: str | None
    """Precision at which the network was taken to be stored; None means as it is."""
    rows: list[LayerCount]
    buffers: int
    """Values held in buffers (fixed masks; running statistics where the rule leaves them out), not counted."""
    what_if: dict[str, int]
    """Size of the network under the same rule if it were stored at each precision."""
    input_shape: tuple[int, ...] | None = None
    """(channel, mel, frame) of the input that the multiply-adds are for, where it was given."""

    @property
    def counted(self) -> int:
        """Values that the rule counts."""
        return sum(layer_values(row, self.rule) for row in self.rows)

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
    def multiply_adds_headroom(self) -> int | None:
        """Multiply-adds left below the limit; negative when over, None when the rule has none."""
        return None if self.rule.multiply_adds is None else self.rule.multiply_adds - self.multiply_adds

    @property
    def within(self) -> bool:
        """Whether the network fits: no more bytes and no more multiply-adds than allowed."""
        return self.headroom >= 0 and (self.multiply_adds_headroom or 0) >= 0

    @property
    def grey(self) -> bool:
        """Whether the size is over the limit by one reading of the rule and within it by the other."""
        return self.limit < self.bytes <= (self.rule.grey_limit or 0)

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
    """Count `model` under the rule of a challenge.

    Args:
        model: a network, a model file, a seed or run folder, an .onnx file, `file.py:function`, or
            `name:option=value,...` for an untrained network (see `resolve_model`).
        rule: a key of `asc_mrkd.budget.RULES`, or a rule of your own.
        precision: `float32`, `float16` or `int8` counts every floating-point value at that width; None by its dtype.
            A rule that assumes a precision for torch networks, as those of 2022 and 2023 do, keeps its own for these.
        input_shape: (channel, mel, frame) for the multiply-adds; a model file knows its own.

    Raises:
        ConfigError: unknown rule or precision, with a suggestion; or the shape of an input is missing or not wanted.
        ModelError, RunError, DamagedFileError: `model` names nothing that can be counted.

    >>> budget = check_budget("cp_resnet_damped:num_classes=3", precision="float16")
    >>> budget.within, budget.bytes
    (True, 485184)
    """
    rule = find_rule(rule, precision)
    network, usual_shape = (model, None) if isinstance(model, nn.Module) else resolve_model(model)
    if isinstance(network, Path) and input_shape:
        raise ConfigError(f"{network} fixes the shape of its input itself", "leave the input shape out")
    if isinstance(network, nn.Module):
        precision = rule.stored_as or precision
    shape = tuple(input_shape or usual_shape or ()) or None
    if rule.multiply_adds is not None and shape is None and not isinstance(network, Path):
        raise ConfigError(
            f"{rule.name} limits the multiply-adds too, and these depend on the shape of an input",
            "give it: --input-shape 1,256,65, in Python input_shape=(channel, mel, frame)",
        )
    rows = _count(network, rule, shape, precision)
    what_if = {name: _count(network, rule, None, name) for name in PRECISIONS}
    buffers = sum(buffer.numel() for buffer in network.buffers()) if isinstance(network, nn.Module) else 0
    statistics = sum(row.statistics.values for row in rows) if rule.counts_running_statistics else 0
    return Budget(
        rule=rule,
        precision=precision,
        rows=rows,
        buffers=buffers - statistics,
        what_if={name: sum(layer_bytes(row, rule) for row in counted) for name, counted in what_if.items()},
        input_shape=shape,
    )


def _count(
    network: nn.Module | Path, rule: Rule, input_shape: tuple[int, ...] | None, precision: str | None
) -> list[LayerCount]:
    if isinstance(network, nn.Module):
        return count_layers(network, input_shape, precision)
    from asc_mrkd.budget.count_onnx import count_onnx  # only now: onnx is an extra

    return count_onnx(network, precision, macs=rule.onnx_macs)


def find_rule(rule: str | Rule, precision: str | None = None) -> Rule:
    """Return a rule by its name.

    Raises:
        ConfigError: there is no such rule, or no such precision to count with.
    """
    if precision is not None:
        _known(precision, PRECISIONS, "precision")
    return RULES[_known(rule, RULES, "rule")] if isinstance(rule, str) else rule


def counted_rows(rows: Iterable[LayerCount], rule: Rule) -> list[LayerCount]:
    """Return the layers that take space under `rule`."""
    return [row for row in rows if rule.counts_batch_norm or not row.is_batch_norm]


def layer_values(row: LayerCount, rule: Rule) -> int:
    """Return how many values of one layer `rule` counts."""
    own = row.parameters if rule.counts_zeros else row.non_zero
    beside = row.statistics.values if rule.counts_zeros else row.statistics.non_zero
    return _counted(row, rule, own, beside)


def layer_bytes(row: LayerCount, rule: Rule) -> int:
    """Return the size of one layer in bytes under `rule`."""
    own = row.bytes if rule.counts_zeros else row.non_zero_bytes
    beside = row.statistics.bytes if rule.counts_zeros else row.statistics.non_zero_bytes
    return _counted(row, rule, own, beside)


def _counted(row: LayerCount, rule: Rule, own: int, running_statistics: int) -> int:
    if row.is_batch_norm and not rule.counts_batch_norm:
        return 0
    return own + running_statistics if rule.counts_running_statistics else own


def _known(name: str, table: Iterable[str], what: str) -> str:
    if name in table:
        return name
    raise ConfigError(f"there is no {what} '{name}'", suggest(name, table))
