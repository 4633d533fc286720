"""The verdict: does a network fit the limits of a challenge?"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from asc_mrkd.budget.count import LayerCount, Uncounted, count_values, find_uncounted
from asc_mrkd.budget.forward import watch_forward
from asc_mrkd.budget.memory import Memory, Trace
from asc_mrkd.budget.model_source import resolve_model
from asc_mrkd.budget.rules import PRECISIONS, Rule, exact_size, find_rule
from asc_mrkd.budget.tensors import layers_with_tensors
from asc_mrkd.deploy.description import MAX_INPUT
from asc_mrkd.errors import BudgetError, ConfigError
from asc_mrkd.mrkd.networks import unwrap
from asc_mrkd.notebook import shown_by

SHAPE_HINT = "give --input-shape 1,256,65, in Python input_shape=(channel, mel, frame)"
"""Hint for a count that needs the shape of an input, or a possible one."""


class NessiFigures(NamedTuple):
    """Figures that NeSsi prints, the tool of the organisers of 2022 and 2023."""

    parameters: int
    """Parameters, or bytes of an .onnx file; `memory` in its output."""
    multiply_adds: int
    """`MACC` in its output."""


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
    uncounted: Sequence[Uncounted] = ()
    """Parts of the network that the figures leave out, or that are not understood."""
    nessi: NessiFigures | None = None
    """Figures of NeSsi; None where the rule does not count with it."""
    memory: Memory | None = None
    """Memory of the activations at this precision, of which the peak is a lower bound; None without an input shape."""
    ram_at: dict[str, int] = field(default_factory=dict)
    """Peak of that memory if the activations were stored at each precision."""

    _repr_html_ = shown_by("asc_mrkd.budget.table", "verdict_html")

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
    def ram_headroom(self) -> int | None:
        """Bytes of memory left below the limit; negative when over, None without a limit or without a figure."""
        if self.rule.ram is None or self.memory is None:
            return None
        return self.rule.ram - self.memory.peak

    @property
    def within(self) -> bool:
        """True if bytes, multiply-adds and memory are not over their limits, with all that the figures leave out.

        False too if NeSsi prints a figure over a limit, or if a part of the network is not understood.
        """
        return self.decision == "within"

    @property
    def decision(self) -> Literal["within", "grey", "over", "unknown"]:
        """The verdict in a word; `unknown` if the figures are within the limits but leave out too much to be sure."""
        is_over_elsewhere = (self.multiply_adds_headroom or 0) < 0 or (self.ram_headroom or 0) < 0
        if self.grey and not is_over_elsewhere:
            return "grey"
        if self.headroom < 0 or is_over_elsewhere or self.is_over_by_nessi:
            return "over"
        is_known = self.is_size_known and self.are_multiply_adds_known and self.is_ram_known
        return "within" if is_known else "unknown"

    @property
    def is_size_known(self) -> bool:
        """True if the size stays on its side of the limit with all bytes that it leaves out."""
        left_out = sum(part.bytes for part in self.uncounted)
        return self._is_understood and (self.headroom < 0 or self.headroom >= left_out)

    @property
    def are_multiply_adds_known(self) -> bool:
        """True if the multiply-adds stay on their side of the limit, if there is one, with all that they leave out."""
        left_out = sum(part.multiply_adds or 0 for part in self.uncounted)
        headroom = self.multiply_adds_headroom
        return self._is_understood and (headroom is None or headroom < 0 or headroom >= left_out)

    @property
    def is_ram_known(self) -> bool:
        """True if the memory stays on its side of the limit, if there is one."""
        if self.rule.ram is None:
            return True
        return self.memory is not None and (not self.memory.not_understood or self.memory.peak > self.rule.ram)

    @property
    def _is_understood(self) -> bool:
        return all(part.multiply_adds is not None for part in self.uncounted)

    @property
    def is_over_by_nessi(self) -> bool:
        """True if a figure that NeSsi prints is over a limit."""
        if self.nessi is None:
            return False
        multiply_adds = self.rule.multiply_adds
        too_many = multiply_adds is not None and self.nessi.multiply_adds > multiply_adds
        return too_many or self.nessi.parameters > self.limit

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
        """Raise an error if a limit is exceeded, or if the network is not understood well enough to tell.

        Args:
            what: subject of the message, such as a path.
            hint: advice for a network that is over.

        Raises:
            BudgetError: the network is over a limit, or not understood.
        """
        faults = []
        if self.headroom < 0:
            faults.append(self.describe_size())
        if (self.multiply_adds_headroom or 0) < 0:
            faults.append(self.describe_multiply_adds())
        if (self.ram_headroom or 0) < 0:
            faults.append(self.describe_ram())
        if not faults and self.is_over_by_nessi:
            faults.append(f"as NeSsi counts it: {self.describe_nessi()}")
        if faults:
            raise BudgetError(f"{what} is over the limit of {self.rule.title}: {'; '.join(faults)}", hint)
        if not self.within:
            reasons = [f"{part.name or 'the network'} {part.reason}" for part in self.uncounted]
            if self.memory is not None and not self.is_ram_known:
                reasons += self.memory.not_understood
            parts = "; ".join(reasons)
            raise BudgetError(f"{what} cannot be counted for {self.rule.title}: {parts}", "asc-mrkd check-budget -h")

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

    def describe_nessi(self) -> str:
        """Return the figures of NeSsi as it prints them."""
        if self.nessi is None:
            return ""
        return f"MACC {self.nessi.multiply_adds / 1e6:.3f} M, memory {self.nessi.parameters / 1e3:.3f} K"

    def describe_ram(self) -> str:
        """Return the peak of the memory of activations and its distance from the limit, if there is one."""
        if self.memory is None:
            return ""
        text = f"RAM {exact_size(self.memory.peak)}"
        headroom = self.ram_headroom
        if headroom is None:
            return text
        return f"{text}, {exact_size(abs(headroom))} {'to spare' if headroom >= 0 else 'too much'}"

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
    memories = [verdict.memory for verdict in verdicts if verdict.memory is not None]
    return replace(
        first,
        layers=[layer for verdict in verdicts for layer in verdict.layers],
        buffers=sum(verdict.buffers for verdict in verdicts),
        what_if={name: sum(verdict.what_if[name] for verdict in verdicts) for name in first.what_if},
        uncounted=[part for verdict in verdicts for part in verdict.uncounted],
        nessi=_sum_of_nessi([verdict.nessi for verdict in verdicts if verdict.nessi is not None]),
        memory=_largest_memory(memories) if len(memories) == len(verdicts) else None,
        ram_at={name: max(verdict.ram_at.get(name, 0) for verdict in verdicts) for name in first.ram_at},
    )


def _largest_memory(memories: list[Memory]) -> Memory:
    """Return the memory of networks that run one after the other, with the reasons of all to doubt it."""
    reasons = [reason for memory in memories for reason in memory.not_understood]
    largest = max(memories, key=lambda memory: memory.peak)
    return replace(largest, not_understood=tuple(dict.fromkeys(reasons)))


def _sum_of_nessi(figures: list[NessiFigures]) -> NessiFigures | None:
    if not figures:
        return None
    parameters, multiply_adds = zip(*figures, strict=True)
    return NessiFigures(sum(parameters), sum(multiply_adds))


def check_budget(
    model: nn.Module | str | os.PathLike[str],
    rule: str | Rule = "dcase2020-task1b",
    precision: str | None = None,
    input_shape: Sequence[int] | None = None,
) -> Verdict:
    """Count `model` under the rule of a challenge.

    Args:
        model: a network (wrappers around it are taken off), a model file, a seed or run folder, an .onnx file,
            `file.py:function`, or `name:option=value,...` for an untrained network (see `resolve_model`).
        rule: a key of `asc_mrkd.budget.RULES`, or your own rule.
        precision: `float32`, `float16` or `int8` counts every floating-point value at that width; None by its dtype.
            A rule that assumes a precision for torch networks, as those of 2022 and 2023 do, keeps its own for these.
        input_shape: (channel, mel, frame) for the multiply-adds; a model file has its own.

    Raises:
        ConfigError: unknown rule or precision, with a suggestion; or the shape of an input is missing, not wanted, or
            has no values or more than 2**28.
        ModelError, RunError, DamagedFileError: `model` does not name a network that can be counted.

    >>> verdict = check_budget("cp_resnet_damped:num_classes=3", precision="float16")
    >>> verdict.within, verdict.bytes
    (True, 485184)
    """
    rule = find_rule(rule, precision)
    network: nn.Module | Path
    usual_shape = None
    if isinstance(model, nn.Module):
        network = unwrap(model)
    else:
        network, usual_shape = resolve_model(model)
    is_onnx = isinstance(network, Path)
    if is_onnx and input_shape:
        raise ConfigError(f"{network} fixes the shape of its input itself", "leave the input shape out")
    if not is_onnx:
        precision = rule.stored_as or precision
    shape = tuple(input_shape or usual_shape or ()) or None
    if shape is not None:
        _require_possible(shape)
    if rule.multiply_adds is not None and shape is None and not is_onnx:
        raise ConfigError(
            f"{rule.name} limits the multiply-adds too, and these depend on the shape of an input",
            SHAPE_HINT,
        )
    if rule.ram is not None and shape is None and not is_onnx:
        raise ConfigError("the memory of the activations depends on the shape of an input", SHAPE_HINT)
    if isinstance(network, Path):
        return _count_file(network, rule, precision, shape)
    return _count_network(network, rule, precision, shape)


def _require_possible(shape: tuple[int, ...]) -> None:
    """Refuse the shape of an input without values, or with more than a model file may name."""
    if all(size > 0 for size in shape) and math.prod(shape) <= MAX_INPUT:
        return
    raise ConfigError(f"an input of {' x '.join(map(str, shape))} has no values or more than {MAX_INPUT:,}", SHAPE_HINT)


def _count_network(network: nn.Module, rule: Rule, precision: str | None, shape: tuple[int, ...] | None) -> Verdict:
    forward = None if shape is None else watch_forward(network, shape)
    layers = count_values(network, forward, precision)
    weights = () if forward is None else forward.weights
    counted = {key for _, _, tensors in layers_with_tensors(network, weights) for _, key in tensors.values()}
    buffers = sum(buffer.numel() for buffer in network.buffers() if id(buffer) not in counted)
    if rule.counts_running_statistics:
        buffers -= sum(layer.statistics.values for layer in layers)
    nessi = None
    if rule.onnx_macs == "nessi" and forward is not None:
        nessi = NessiFigures(forward.torchinfo_parameters, forward.torchinfo_multiply_adds)
    return Verdict(
        rule=rule,
        precision=precision,
        layers=layers,
        buffers=buffers,
        what_if={width: _size(count_values(network, forward, width), rule) for width in PRECISIONS},
        input_shape=shape,
        uncounted=find_uncounted(network, forward),
        nessi=nessi,
        **_memory_of(None if forward is None else _trace_as_stored(forward.trace, network), precision),
    )


def _trace_as_stored(trace: Trace, network: nn.Module) -> Trace:
    """Return a trace of the float32 copy of a network with activations as wide as the parameters of the network."""
    widths = [tensor.element_size() for tensor in network.parameters() if tensor.is_floating_point()]
    if not widths:
        return trace
    values = {
        key: replace(value, width=max(widths)) if value.is_real and value.width > 1 else value
        for key, value in trace.values.items()
    }
    return replace(trace, values=values)


def _memory_of(trace: Trace | None, precision: str | None) -> dict[str, Any]:
    """Return the memory of the activations as arguments of a verdict."""
    if trace is None:
        return {}
    ram_at = {name: trace.memory(name).peak for name in PRECISIONS}
    return {"memory": trace.memory(precision), "ram_at": ram_at}


def _count_file(path: Path, rule: Rule, precision: str | None, shape: tuple[int, ...] | None) -> Verdict:
    from asc_mrkd.budget.onnx import OnnxCounter  # only now: onnx is an extra

    counter = OnnxCounter(path)
    layers = counter.count(precision, rule.onnx_macs)
    verdict = Verdict(
        rule=rule,
        precision=precision,
        layers=layers,
        buffers=0,
        what_if={width: _size(counter.count(width, rule.onnx_macs), rule) for width in PRECISIONS},
        input_shape=shape,
        uncounted=counter.find_uncounted(),
        **_memory_of(counter.trace(), precision),
    )
    if rule.onnx_macs != "nessi":
        return verdict
    return replace(verdict, nessi=NessiFigures(verdict.bytes, verdict.multiply_adds))


def _size(layers: list[LayerCount], rule: Rule) -> int:
    return sum(layer_bytes(layer, rule) for layer in layers)


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
