"""A counted budget for the screen and for machines."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from asc_mrkd.budget.verdict import Budget, layer_bytes
from asc_mrkd.files import format_bytes


def exact_size(size: int) -> str:
    """Write a size as the organisers' calculator does: units of 1024, four digits.

    >>> exact_size(485184), exact_size(512000), exact_size(1000)
    ('485,184 bytes (473.8 KB)', '512,000 bytes (500 KB)', '1,000 bytes')
    """
    return f"{size:,} bytes" if abs(size) < 1024 else f"{size:,} bytes ({format_bytes(size, kilo=1024)})"


def shorten(text: str, width: int) -> str:
    """Cut the middle out of `text` so that it fits `width` characters.

    >>> shorten("stages.0.blocks.1.conv1.conv", 16)
    'stages.0…v1.conv'
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


NAME_WIDTH, MIXED_NAME_WIDTH = 24, 20
"""Longest name of a layer; the second where some layer holds several dtypes, which take their place."""


def budget_table(budget: Budget) -> Group:
    """Lay a budget out for a screen of 80 columns: a row a layer, the totals, the verdict and what would help."""
    return Group(_layer_table(budget), "", _summary_table(budget))


def _layer_table(budget: Budget) -> Table:
    table = Table("layer", box=None, pad_edge=False, header_style="bold")
    for heading in ("parameters", "non-zero", "dtype", "bytes", "MMAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    width = MIXED_NAME_WIDTH if any("+" in row.dtype for row in budget.rows) else NAME_WIDTH
    for row in budget.rows:
        size = layer_bytes(row, budget.rule)
        table.add_row(
            shorten(row.name or row.kind, width),
            f"{row.parameters:,}",
            f"{row.non_zero:,}",
            _short_dtype(row.dtype),
            f"{size:,}" if size else "-",
            f"{row.multiply_adds / 1e6:,.2f}",
        )
    totals = (f"{budget.parameters:,}", f"{budget.non_zero:,}", "", f"{budget.bytes:,}")
    table.add_row("total", *totals, f"{budget.multiply_adds / 1e6:,.2f}", style="bold")
    return table


def _short_dtype(dtype: str) -> str:
    """Shorten several dtypes.

    >>> _short_dtype("float32"), _short_dtype("int8+float32")
    ('float32', 'int8+f32')
    """
    first, *others = dtype.split("+")
    return "+".join([first, *(other.replace("float", "f").replace("int", "i") for other in others)])


def _summary_table(budget: Budget) -> Table:
    rule, table = budget.rule, Table.grid(padding=(0, 2))
    table.add_row("rule", f"{rule.title}: {limits_of(budget)}")
    table.add_row("counted", _counted_line(budget))
    table.add_row("left out", ", ".join(_left_out(budget)))
    what_if = []
    for name, size in budget.what_if.items():
        over = " (over)" if size > rule.limit else ""
        what_if.append(f"{name} {format_bytes(size, kilo=1024)}{over}")
    table.add_row("what if", ", ".join(what_if))
    largest = (f"{row.name or row.kind} {format_bytes(layer_bytes(row, rule), kilo=1024)}" for row in budget.largest)
    table.add_row("largest", ", ".join(largest))
    if rule.onnx_macs == "nessi":
        table.add_row("as NeSsi", f"MACC {budget.multiply_adds / 1e6:.3f} M, memory {budget.bytes / 1e3:.3f} K")
    if rule.note:
        table.add_row("note", rule.note)
    if rule.multiply_adds is None and budget.multiply_adds:
        table.add_row("no limit", multiply_adds_line(budget))
    table.add_row(_verdict(budget.headroom >= 0, budget.grey), size_line(budget))
    if budget.multiply_adds_headroom is not None:
        table.add_row(_verdict(budget.multiply_adds_headroom >= 0), multiply_adds_line(budget))
    return table


def limits_of(budget: Budget) -> str:
    """Return what the rule allows, in words."""
    rule = budget.rule
    text = f"at most {exact_size(rule.limit)}"
    if rule.grey_limit is not None:
        text += f", by another reading {exact_size(rule.grey_limit)}"
    return text if rule.multiply_adds is None else f"{text}, {rule.multiply_adds / 1e6:,.0f} MMAC"


def _counted_line(budget: Budget) -> str:
    text = f"{budget.counted:,} {'values' if budget.rule.counts_zeros else 'non-zero values'}"
    if budget.rule.stored_as and budget.precision == budget.rule.stored_as:
        return f"{text}, each taken as {budget.rule.stored_as}, as the rule does"
    return text if budget.precision is None else f"{text}, floating-point ones taken as {budget.precision}"


def _left_out(budget: Budget) -> Iterator[str]:
    if not budget.rule.counts_batch_norm:
        yield f"{budget.batch_norm:,} values of batch normalisation"
    yield f"{budget.buffers:,} values in buffers"


def _verdict(fits: bool, grey: bool = False) -> Text:
    if fits:
        return Text("within", "bold green")
    return Text("grey", "bold yellow") if grey else Text("over", "bold red")


def size_line(budget: Budget) -> str:
    """Return the size and what is left of the limit, by both readings of it where there are two."""
    text = f"{exact_size(budget.bytes)}, {_left(exact_size(abs(budget.headroom)), budget.headroom, 'much')}"
    if not budget.grey or budget.rule.grey_limit is None:
        return text
    spare = budget.rule.grey_limit - budget.bytes
    return f"{text}; {exact_size(spare)} to spare if the limit is {exact_size(budget.rule.grey_limit)}"


def multiply_adds_line(budget: Budget) -> str:
    """Return the multiply-adds and what is left of their limit, where there is one."""
    text = f"{budget.multiply_adds:,} MACs"
    if budget.input_shape:
        text += f" for {' x '.join(map(str, budget.input_shape))}"
    left = budget.multiply_adds_headroom
    return text if left is None else f"{text}, {_left(f'{abs(left):,}', left, 'many')}"


def _left(amount: str, headroom: int, excess: str) -> str:
    return f"{amount} to spare" if headroom >= 0 else f"{amount} too {excess}"


def budget_record(budget: Budget) -> dict[str, Any]:
    """Return the same budget as plain values for JSON; sizes in bytes."""
    return {
        "rule": budget.rule.name,
        "precision": budget.precision,
        "within": budget.within,
        "grey": budget.grey,
        "bytes": budget.bytes,
        "limit": budget.limit,
        "grey_limit": budget.rule.grey_limit,
        "headroom": budget.headroom,
        "counted": budget.counted,
        "parameters": budget.parameters,
        "non_zero": budget.non_zero,
        "batch_norm": budget.batch_norm,
        "buffers": budget.buffers,
        "multiply_adds": budget.multiply_adds,
        "multiply_adds_limit": budget.rule.multiply_adds,
        "multiply_adds_headroom": budget.multiply_adds_headroom,
        "input_shape": budget.input_shape,
        "what_if": budget.what_if,
        "largest": [row.name for row in budget.largest],
        "layers": [asdict(row) for row in budget.rows],
    }
