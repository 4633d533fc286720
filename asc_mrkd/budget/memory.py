"""Peak memory of the activations: the bytes of inputs, outputs and values in between that are alive at once.

A value lives from the operation that makes it to the last one that reads it. Views cost nothing, nor does an operation
on each value by itself (ReLU, a folded batch normalisation) whose input nobody reads later: it works in place. A sum of
two activations needs both and its result. The peak is a lower bound: the planner of a runtime places blocks and leaves
gaps, and the scratch memory of its kernels comes on top.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from asc_mrkd.budget.rules import PRECISIONS


@dataclass(frozen=True)
class LayerMemory:
    """Memory of one layer that makes a new activation."""

    name: str
    kind: str
    """Name of its class, or of its operator."""
    output_bytes: int
    """Size of its output."""
    live_bytes: int
    """Size of all activations that are alive while it computes: inputs, output, and those that later layers read."""


@dataclass(frozen=True)
class Memory:
    """Memory of the activations of one forward pass with one input."""

    peak: int
    """Largest number of bytes that are alive at once."""
    layers: list[LayerMemory]
    """Layers that make a new activation, in the order of execution."""
    not_understood: tuple[str, ...] = ()
    """Reasons for which the peak may be wrong; none if it is right."""

    @property
    def largest(self) -> LayerMemory | None:
        """The first layer with the peak; None if the input alone is larger."""
        return next((layer for layer in self.layers if layer.live_bytes == self.peak), None)


@dataclass(frozen=True)
class Value:
    """Size of one activation."""

    count: int
    """Number of values."""
    width: int
    """Bytes per value."""
    is_real: bool = True
    """Whether its values are real numbers, quantised or not, which another precision stores in other bytes."""


@dataclass(frozen=True)
class Operation:
    """One operation of a forward pass."""

    layer: str
    kind: str
    reads: tuple[Hashable, ...]
    """Keys of the activations that it reads."""
    writes: tuple[Hashable, ...]
    """Keys of the activations that it makes."""
    effect: Literal["new", "view", "in_place"] = "new"
    """Whether its output is a new activation, another name of its input, or may replace its input."""


@dataclass
class Trace:
    """The operations of one forward pass in their order, and the activations between them."""

    values: dict[Hashable, Value] = field(default_factory=dict)
    inputs: list[Hashable] = field(default_factory=list)
    outputs: list[Hashable] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    not_understood: list[str] = field(default_factory=list)

    def memory(self, precision: str | None = None) -> Memory:
        """Return the memory of the activations.

        Args:
            precision: a key of `PRECISIONS` at which every real number is taken to be stored; None as it is.
        """
        blocks = _Blocks(self)
        sizes = blocks.sizes(precision)
        rows = []
        peak = sum(sizes.get(block, 0) for block in blocks.alive_at(0))
        for position, operation in enumerate(self.operations, start=1):
            made = {blocks.of(key) for key in operation.writes if blocks.is_made_at(key, position)}
            if not made:
                continue
            live = sum(sizes.get(block, 0) for block in blocks.alive_at(position))
            peak = max(peak, live)
            rows.append(LayerMemory(operation.layer, operation.kind, sum(sizes.get(block, 0) for block in made), live))
        return Memory(peak, rows, tuple(dict.fromkeys(self.not_understood)))


class _Blocks:
    """Blocks of memory that activations share, and the time in which each is alive; position 0 is before the first."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._parent: dict[Hashable, Hashable] = {}
        self._first: dict[Hashable, int] = dict.fromkeys(trace.inputs, 0)
        self._last: dict[Hashable, int] = {}
        end = len(trace.operations) + 1
        operations = list(enumerate(trace.operations, start=1))
        for position, operation in operations:
            for key in operation.writes:
                self._first.setdefault(key, position)
            if operation.effect == "view":
                self._join(operation.reads[0], operation.writes)
        for position, operation in operations:
            if operation.effect != "view":
                self._last |= {self.of(key): position for key in operation.reads}
        self._last |= {self.of(key): end for key in trace.outputs}
        for position, operation in operations:
            if operation.effect == "in_place" and self._last[self.of(operation.reads[0])] == position:
                self._join(operation.reads[0], operation.writes[:1])

    def of(self, key: Hashable) -> Hashable:
        """Return the block of an activation."""
        while key in self._parent:
            key = self._parent[key]
        return key

    def _join(self, source: Hashable, others: Sequence[Hashable]) -> None:
        """Put activations into the block of another one."""
        block = self.of(source)
        for other in map(self.of, others):
            if other != block:
                self._parent[other] = block
                self._last[block] = max(self._last.get(block, 0), self._last.get(other, 0))

    def is_made_at(self, key: Hashable, position: int) -> bool:
        """Return whether an operation makes the block of an activation that somebody reads."""
        block = self.of(key)
        return self._first.get(block) == position and self._last.get(block, 0) > position

    def alive_at(self, position: int) -> list[Hashable]:
        """List the blocks that are alive while the operation at a position computes."""
        alive = []
        for block, last in self._last.items():
            is_joined = block in self._parent
            if not is_joined and self._first.get(block, 0) <= position <= last:
                alive.append(block)
        return alive

    def sizes(self, precision: str | None) -> dict[Hashable, int]:
        """Return the bytes of every block of known size; of its names the narrowest counts, as of a quantised value."""
        counts: dict[Hashable, int] = {}
        widths: dict[Hashable, int] = {}
        for key, value in self._trace.values.items():
            block = self.of(key)
            width = PRECISIONS[precision] if precision and value.is_real else value.width
            counts[block] = max(counts.get(block, 0), value.count)
            widths[block] = min(widths.get(block, width), width)
        return {block: counts[block] * widths[block] for block in counts}
