"""A printed catalogue: what there is, with its options as they are typed."""

from collections.abc import Mapping, Sequence
from typing import Any


def print_catalogue(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose last column holds whole sentences; the one before it is numbers, the first one names."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"
    )
    first, *between, last = columns
    table.add_column(first, no_wrap=True)
    for name in between:
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column(last)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def described(sentences: Sequence[str], options: Mapping[str, Any]) -> str:
    """Return sentences, and below them the options with their values, dimmed."""
    text = " ".join(f"{name}={typed(value)}" for name, value in options.items())
    return "; ".join(sentences) + (f"\n[dim]{text}[/dim]" if text else "")


def typed(value: Any) -> str:
    """Return an option as it is typed on the command line.

    >>> typed((4, 3, 1)), typed(None), typed(0.5)
    ('4,3,1', 'null', '0.5')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "null" if value is None else str(value)
