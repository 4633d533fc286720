"""Tables of available items, with their options in command-line form."""

from collections.abc import Mapping, Sequence
from typing import Any

from asc_mrkd.cli.terminal import make_console


def print_catalogue(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: names in the first column, sentences in the last one, numbers in those between."""
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
    make_console().print(table)


def sentences_and_options(sentences: Sequence[str], options: Mapping[str, Any]) -> str:
    """Return a cell of a catalogue: the sentences and, dimmed on a line below, the options with their values."""
    text = "; ".join(sentences)
    if options:
        assignments = " ".join(f"{name}={as_cli_value(value)}" for name, value in options.items())
        text += f"\n[dim]{assignments}[/dim]"
    return text


def as_cli_value(value: Any) -> str:
    """Return the value of an option in command-line form.

    >>> as_cli_value((4, 3, 1)), as_cli_value(None), as_cli_value(0.5)
    ('4,3,1', 'null', '0.5')
    """
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)
