"""The verdict: does a network fit the limits of a challenge?"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from asc_mrkd.budget.count import LayerCount, count_layers
from asc_mrkd.budget.model_source import resolve_model
from asc_mrkd.budget.rules import PRECISIONS, Rule, exact_size, find_rule
from asc_mrkd.errors import BudgetError, ConfigError


@dataclass(frozen=True)
class Verdict:
    """A network, or several that work together, counted under a rule; sizes are in bytes."""

    rule: Rule
    precision: str | None
    """Precision at which the network was taken to be stored; None means as it is."""
    layers: list[LayerCount]
    """Layers that hold parameters, in the order of the network."""
    buffers: int
    """Number of values in buffers that do not count: fixed masks, and running statistics if the rule omits them."""
    what_if: dict[str, int]
    """Size of the network under the same rule if it were stored at each precision."""
    input_shape: tuple[int, ...] | None = None
    """(channel, mel, frame) of the input that the multiply-adds are for; None if unknown."""

    @property
    def counted(self) -> int:
        """Number of values that the rule counts."""
        return sum(layer_values(layer, self.rule) for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Size under the rule."""
        return sum(layer_bytes(layer, self.rule) for layer in self.layers)

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
        """Multiply-adds left below the limit; negative when over, None when the rule has no such limit."""
        if self.rule.multiply_adds is None:
            return None
        return self.rule.multiply_adds - self.multiply_adds

    @property
    def within(self) -> bool:
        """True if neither the bytes nor the multiply-adds are over their limits."""
        return self.headroom >= 0 and (self.multiply_adds_headroom or 0) >= 0

    @property
    def grey(self) -> bool:
        """True if the size is over the limit by one reading of the rule and within it by the other."""
        return self.limit < self.bytes <= (self.rule.grey_limit or 0)

    @property
    def parameters(self) -> int:
        """Number of all parameters, counted by the rule or not."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def non_zero(self) -> int:
        """Number of all parameters that are not zero, counted by the rule or not."""
        return sum(layer.non_zero for layer in self.layers)

    @property
    def batch_norm(self) -> int:
        """Number of parameters of batch normalisation."""
        return sum(layer.parameters for layer in self.layers if layer.is_batch_norm)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one input; 0 when the input shape is unknown."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def largest(self) -> list[LayerCount]:
        """The three largest layers under the rule."""
        layers = [layer for layer in self.layers if self.rule.counts_batch_norm or not layer.is_batch_norm]
        return sorted(layers, key=lambda layer: -layer_bytes(layer, self.rule))[:3]

    def require_within(self, what: str, hint: str) -> None:
        """Raise an error if a limit is exceeded.

        Args:
            what: subject of the message, such as a path.
            hint: advice for a network that is over.

        Raises:
            BudgetError: the network is over a limit.
        """
        faults = []
        if self.headroom < 0:
            faults.append(self.describe_size())
        if (self.multiply_adds_headroom or 0) < 0:
            faults.append(self.describe_multiply_adds())
        if faults:
            raise BudgetError(f"{what} is over the limit of {self.rule.title}: {'; '.join(faults)}", hint)

    def describe_size(self) -> str:
        """Return the size and its distance from the limit, by both readings of the limit where there are two."""
        text = exact_size(self.bytes)
        if self.headroom >= 0:
            return f"{text}, {exact_size(self.headroom)} to spare"
        text = f"{text}, {exact_size(-self.headroom)} too much"
        if self.grey and self.rule.grey_limit is not None:
            upper = self.rule.grey_limit
            text += f"; {exact_size(upper - self.bytes)} to spare if the limit is {exact_size(upper)}"
        return text

    def describe_multiply_adds(self) -> str:
        """Return the multiply-adds and their distance from the limit, if the rule has one."""
        text = f"{self.multiply_adds:,} MACs"
        if self.input_shape:
            text += f" for {' x '.join(map(str, self.input_shape))}"
        headroom = self.multiply_adds_headroom
        if headroom is None:
            return text
        return f"{text}, {headroom:,} to spare" if headroom >= 0 else f"{text}, {-headroom:,} too many"


def sum_verdicts(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict about networks that work together, all counted under one rule: the sum of all counts."""
    first = verdicts[0]
    return replace(
        first,
        layers=[layer for verdict in verdicts for layer in verdict.layers],
        buffers=sum(verdict.buffers for verdict in verdicts),
        what_if={name: sum(verdict.what_if[name] for verdict in verdicts) for name in first.what_if},
    )


def check_budget(
    model: nn.Module | str | os.PathLike[str],
    rule: str | Rule = "dcase2020-task1b",
    precision: str | None = None,
    input_shape: Sequence[int] | None = None,
) -> Verdict:
    """Count `model` under the rule of a challenge.

    Args:
        model: a network, a model file, a seed or run folder, an .onnx file, `file.py:function`, or
            `name:option=value,...` for an untrained network (see `resolve_model`).
        rule: a key of `asc_mrkd.budget.RULES`, or your own rule.
        precision: `float32`, `float16` or `int8` counts every floating-point value at that width; None by its dtype.
            A rule that assumes a precision for torch networks, as those of 2022 and 2023 do, keeps its own for these.
        input_shape: (channel, mel, frame) for the multiply-adds; a model file has its own.

    Raises:
        ConfigError: unknown rule or precision, with a suggestion; or the shape of an input is missing or not wanted.
        ModelError, RunError, DamagedFileError: `model` does not name a network that can be counted.

    >>> verdict = check_budget("cp_resnet_damped:num_classes=3", precision="float16")
    >>> verdict.within, verdict.bytes
    (True, 485184)
    """
    rule = find_rule(rule, precision)
    network: nn.Module | Path
    usual_shape = None
    if isinstance(model, nn.Module):
        network = model
    else:
        network, usual_shape = resolve_model(model)
    is_onnx = isinstance(network, Path)
    if is_onnx and input_shape:
        raise ConfigError(f"{network} fixes the shape of its input itself", "leave the input shape out")
    if not is_onnx:
        precision = rule.stored_as or precision
    shape = tuple(input_shape or usual_shape or ()) or None
    if rule.multiply_adds is not None and shape is None and not is_onnx:
        raise ConfigError(
            f"{rule.name} limits the multiply-adds too, and these depend on the shape of an input",
            "give it: --input-shape 1,256,65, in Python input_shape=(channel, mel, frame)",
        )
    layers = _count(network, rule, shape, precision)
    what_if = {}
    for width in PRECISIONS:
        what_if[width] = sum(layer_bytes(layer, rule) for layer in _count(network, rule, None, width))
    return Verdict(
        rule=rule,
        precision=precision,
        layers=layers,
        buffers=_uncounted_buffers(network, rule, layers),
        what_if=what_if,
        input_shape=shape,
    )


def _count(
    network: nn.Module | Path, rule: Rule, input_shape: tuple[int, ...] | None, precision: str | None
) -> list[LayerCount]:
    if isinstance(network, nn.Module):
        return count_layers(network, input_shape, precision)
    from asc_mrkd.budget.count_onnx import count_onnx  # only now: onnx is an extra

    return count_onnx(network, precision, macs=rule.onnx_macs)


def _uncounted_buffers(network: nn.Module | Path, rule: Rule, layers: list[LayerCount]) -> int:
    """Return the number of buffered values that the rule leaves out; the buffers of an .onnx file are not known."""
    buffers = 0
    if isinstance(network, nn.Module):
        buffers = sum(buffer.numel() for buffer in network.buffers())
    if rule.counts_running_statistics:
        buffers -= sum(layer.statistics.values for layer in layers)
    return buffers


def layer_values(layer: LayerCount, rule: Rule) -> int:
    """Return the number of values of one layer that `rule` counts."""
    if rule.counts_zeros:
        return _counted_amount(layer, rule, layer.parameters, layer.statistics.values)
    return _counted_amount(layer, rule, layer.non_zero, layer.statistics.non_zero)


def layer_bytes(layer: LayerCount, rule: Rule) -> int:
    """Return the size of one layer in bytes under `rule`."""
    if rule.counts_zeros:
        return _counted_amount(layer, rule, layer.bytes, layer.statistics.bytes)
    return _counted_amount(layer, rule, layer.non_zero_bytes, layer.statistics.non_zero_bytes)


def _counted_amount(layer: LayerCount, rule: Rule, parameters: int, running_statistics: int) -> int:
    if layer.is_batch_norm and not rule.counts_batch_norm:
        return 0
    return parameters + running_statistics if rule.counts_running_statistics else parameters
