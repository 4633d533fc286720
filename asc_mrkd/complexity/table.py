"""A counted budget for the screen and for machines."""

from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from asc_mrkd.complexity.budget import Budget, format_bytes, layer_bytes, short_bytes

NAME_WIDTH = 24


def budget_table(budget: Budget) -> Group:
    """Lay a budget out for a screen of 80 columns: a row a layer, the totals, the verdict and what would help."""
    return Group(_layer_table(budget), "", _summary_table(budget))


def _layer_table(budget: Budget) -> Table:
    table = Table("layer", box=None, pad_edge=False, header_style="bold")
    for heading in ("parameters", "non-zero", "dtype", "size", "MMAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in budget.rows:
        size = layer_bytes(row, budget.rule)
        table.add_row(
            shorten(row.name or row.kind, NAME_WIDTH),
            f"{row.parameters:,}",
            f"{row.non_zero:,}",
            row.dtype,
            short_bytes(size) if size else "-",
            f"{row.multiply_adds / 1e6:,.2f}",
        )
    totals = (f"{budget.parameters:,}", f"{budget.non_zero:,}", "", short_bytes(budget.bytes))
    table.add_row("total", *totals, f"{budget.multiply_adds / 1e6:,.2f}", style="bold")
    return table


def _summary_table(budget: Budget) -> Table:
    rule, table = budget.rule, Table.grid(padding=(0, 2))
    table.add_row("rule", f"{rule.title}: at most {format_bytes(rule.limit)}")
    table.add_row("counted", f"{budget.counted:,} {'values' if rule.counts_zeros else 'non-zero values'}")
    left_out = "" if rule.counts_batch_norm else f"{budget.batch_norm:,} values of batch normalisation, "
    table.add_row("left out", f"{left_out}{budget.buffers:,} values in buffers")
    what_if = (
        f"{name} {short_bytes(size)}{' (over)' if size > rule.limit else ''}" for name, size in budget.what_if.items()
    )
    table.add_row("what if", ", ".join(what_if))
    largest = (f"{row.name or row.kind} {short_bytes(layer_bytes(row, rule))}" for row in budget.largest)
    table.add_row("largest layers", ", ".join(largest))
    headroom = f"{short_bytes(abs(budget.headroom))} {'to spare' if budget.within else 'too much'}"
    verdict = Text("within", "bold green") if budget.within else Text("over", "bold red")
    table.add_row(verdict, f"{format_bytes(budget.bytes)}, {headroom}")
    return table


def budget_record(budget: Budget) -> dict[str, Any]:
    """Return the same budget as plain values for JSON; sizes in bytes."""
    return {
        "rule": budget.rule.name,
        "precision": budget.precision,
        "within": budget.within,
        "bytes": budget.bytes,
        "limit": budget.limit,
        "headroom": budget.headroom,
        "counted": budget.counted,
        "parameters": budget.parameters,
        "non_zero": budget.non_zero,
        "batch_norm": budget.batch_norm,
        "buffers": budget.buffers,
        "multiply_adds": budget.multiply_adds,
        "what_if": budget.what_if,
        "largest": [row.name for row in budget.largest],
        "layers": [asdict(row) for row in budget.rows],
    }


def shorten(text: str, width: int) -> str:
    """Cut the middle out of `text` so that it fits `width` characters.

    >>> shorten("stages.0.blocks.1.conv1.conv", 16)
    'stages.0…v1.conv'
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"
