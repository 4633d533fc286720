"""A verdict as a table for the screen, and as plain values for JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from asc_mrkd.budget.chips import fits_of
from asc_mrkd.budget.memory import Memory
from asc_mrkd.budget.verdict import Verdict, layer_bytes
from asc_mrkd.files import format_bytes
from asc_mrkd.notebook import printed_html

NAME_WIDTH = 24
"""Longest name of a layer."""

MIXED_NAME_WIDTH = 20
"""Longest name of a layer where some layer holds several dtypes, which need the room."""


SHOWN = 6
"""Largest number of parts that are listed as not counted."""


def verdict_table(verdict: Verdict) -> Group:
    """Lay a verdict out for a screen of 80 columns: one row per layer, the totals, the decision and advice."""
    if verdict.rule.ram is None or verdict.memory is None:
        return Group(_layer_table(verdict), "", _summary_table(verdict))
    return Group(_layer_table(verdict), "", _memory_table(verdict.memory), "", _summary_table(verdict))


def verdict_html(verdict: Verdict) -> str:
    """Return the table of a verdict for a notebook."""
    return printed_html(lambda console: console.print(verdict_table(verdict)))


def _memory_table(memory: Memory) -> Table:
    """Lay out the memory of the activations, one row per layer that makes a new one."""
    table = Table("layer", box=None, pad_edge=False, header_style="bold")
    for heading in ("operation", "output bytes", "RAM bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in memory.layers:
        style = "bold" if layer.live_bytes == memory.peak else ""
        cells = (shorten(layer.name, NAME_WIDTH), shorten(layer.kind, MIXED_NAME_WIDTH))
        table.add_row(*cells, f"{layer.output_bytes:,}", f"{layer.live_bytes:,}", style=style)
    return table


def _layer_table(verdict: Verdict) -> Table:
    table = Table("layer", box=None, pad_edge=False, header_style="bold")
    for heading in ("parameters", "non-zero", "dtype", "bytes", "MMAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    is_mixed = any("+" in layer.dtype for layer in verdict.layers)
    width = MIXED_NAME_WIDTH if is_mixed else NAME_WIDTH
    for layer in verdict.layers:
        size = layer_bytes(layer, verdict.rule)
        table.add_row(
            shorten(layer.name or layer.kind, width),
            f"{layer.parameters:,}",
            f"{layer.non_zero:,}",
            shorten_dtypes(layer.dtype),
            f"{size:,}" if size else "-",
            f"{layer.multiply_adds / 1e6:,.2f}",
        )
    table.add_row(
        "total",
        f"{verdict.parameters:,}",
        f"{verdict.non_zero:,}",
        "",
        f"{verdict.bytes:,}",
        f"{verdict.multiply_adds / 1e6:,.2f}",
        style="bold",
    )
    return table


def shorten(text: str, width: int) -> str:
    """Cut the middle out of `text` so that it fits `width` characters.

    >>> shorten("stages.0.blocks.1.conv1.conv", 16)
    'stages.0…v1.conv'
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def shorten_dtypes(dtypes: str) -> str:
    """Abbreviate all dtypes but the first.

    >>> shorten_dtypes("float32"), shorten_dtypes("int8+float32")
    ('float32', 'int8+f32')
    """
    first, *others = dtypes.split("+")
    return "+".join([first, *(other.replace("float", "f").replace("int", "i") for other in others)])


def _summary_table(verdict: Verdict) -> Table:
    rule = verdict.rule
    table = Table.grid(padding=(0, 2))
    table.add_row("rule", f"{rule.title}: {rule.describe_limits()}")
    table.add_row("counted", _describe_count(verdict))
    table.add_row("left out", ", ".join(_left_out(verdict)))
    table.add_row("what if", ", ".join(_sizes_at_each_precision(verdict)))
    largest = [f"{layer.name or layer.kind} {_in_kilobytes(layer_bytes(layer, rule))}" for layer in verdict.largest]
    table.add_row("largest", ", ".join(largest))
    if verdict.nessi is not None:
        table.add_row("as NeSsi", verdict.describe_nessi())
    if rule.note:
        table.add_row("note", rule.note)
    if rule.multiply_adds is None and verdict.multiply_adds:
        table.add_row("no limit", verdict.describe_multiply_adds())
    if verdict.memory is not None:
        table.add_row("RAM", _describe_ram(verdict.memory, verdict.ram_at))
        for reason in verdict.memory.not_understood[:SHOWN]:
            table.add_row("RAM unknown", reason)
    for part in verdict.uncounted[:SHOWN]:
        table.add_row("not counted", f"{part.name or 'the network'} {part.reason}")
    if len(verdict.uncounted) > SHOWN:
        table.add_row("not counted", f"and {len(verdict.uncounted) - SHOWN} more; --json lists all")
    table.add_row(_decision(verdict.headroom >= 0, verdict.is_size_known, verdict.grey), verdict.describe_size())
    if verdict.multiply_adds_headroom is not None:
        decision = _decision(verdict.multiply_adds_headroom >= 0, verdict.are_multiply_adds_known)
        table.add_row(decision, verdict.describe_multiply_adds())
    if verdict.ram_headroom is not None:
        table.add_row(_decision(verdict.ram_headroom >= 0, verdict.is_ram_known), verdict.describe_ram())
    if verdict.is_over_by_nessi:
        table.add_row(_decision(False, True), f"as NeSsi counts it: {verdict.describe_nessi()}")
    return table


def _describe_ram(memory: Memory, ram_at: dict[str, int]) -> str:
    sizes = ", ".join(f"{name} {_in_kilobytes(size)}" for name, size in ram_at.items())
    place = f", most at {memory.largest.name or memory.largest.kind}" if memory.largest else ""
    return f"activations alive at once: {sizes}{place}; a runtime takes at least as much"


def _in_kilobytes(size: int) -> str:
    return format_bytes(size, kilo=1024)


def _describe_count(verdict: Verdict) -> str:
    text = f"{verdict.counted:,} {'values' if verdict.rule.counts_zeros else 'non-zero values'}"
    if verdict.precision is None:
        return text
    if verdict.precision == verdict.rule.stored_as:
        return f"{text}, each taken as {verdict.rule.stored_as}, as the rule does"
    return f"{text}, floating-point ones taken as {verdict.precision}"


def _left_out(verdict: Verdict) -> Iterator[str]:
    if not verdict.rule.counts_batch_norm:
        yield f"{verdict.batch_norm:,} values of batch normalisation"
    yield f"{verdict.buffers:,} values in buffers"


def _sizes_at_each_precision(verdict: Verdict) -> Iterator[str]:
    for precision, size in verdict.what_if.items():
        over = " (over)" if size > verdict.limit else ""
        yield f"{precision} {_in_kilobytes(size)}{over}"


def _decision(fits: bool, is_known: bool, grey: bool = False) -> Text:
    if fits:
        return Text("within", "bold green") if is_known else Text("unknown", "bold yellow")
    return Text("grey", "bold yellow") if grey else Text("over", "bold red")


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values for JSON; sizes are in bytes."""
    return {
        "rule": verdict.rule.name,
        "precision": verdict.precision,
        "within": verdict.within,
        "verdict": verdict.decision,
        "grey": verdict.grey,
        "bytes": verdict.bytes,
        "limit": verdict.limit,
        "grey_limit": verdict.rule.grey_limit,
        "headroom": verdict.headroom,
        "counted": verdict.counted,
        "parameters": verdict.parameters,
        "non_zero": verdict.non_zero,
        "batch_norm": verdict.batch_norm,
        "buffers": verdict.buffers,
        "multiply_adds": verdict.multiply_adds,
        "multiply_adds_limit": verdict.rule.multiply_adds,
        "multiply_adds_headroom": verdict.multiply_adds_headroom,
        "ram": None if verdict.memory is None else verdict.memory.peak,
        "ram_limit": verdict.rule.ram,
        "ram_headroom": verdict.ram_headroom,
        "ram_at": verdict.ram_at,
        "ram_layers": [] if verdict.memory is None else [asdict(layer) for layer in verdict.memory.layers],
        "ram_not_understood": [] if verdict.memory is None else list(verdict.memory.not_understood),
        "chips": [asdict(fit) for fit in fits_of(verdict)],
        "input_shape": verdict.input_shape,
        "what_if": verdict.what_if,
        "not_counted": [asdict(part) for part in verdict.uncounted],
        "nessi": None if verdict.nessi is None else verdict.nessi._asdict(),
        "largest": [layer.name for layer in verdict.largest],
        "layers": [asdict(layer) for layer in verdict.layers],
    }
