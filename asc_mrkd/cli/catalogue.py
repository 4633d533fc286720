"""Tables of available items, with their options in command-line form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asc_mrkd.cli.terminal import make_console


def print_catalogue(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: names in the first column, sentences in the last one, numbers in those between.

    Lines of the last column after its first one are dimmed.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"
    )
    first, *between, last = columns
    table.add_column(first, no_wrap=True)
    for name in between:
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column(last)
    for *cells, sentences in rows:
        description, line_break, details = sentences.partition("\n")
        table.add_row(*cells, Text.assemble(description, line_break, (details, "dim")))
    make_console().print(table)


def sentences_and_options(sentences: Sequence[str], options: Mapping[str, Any]) -> str:
    """Return a cell of a catalogue: the sentences, and on a line below the options with their values."""
    text = "; ".join(sentences)
    if options:
        assignments = " ".join(f"{name}={as_cli_value(value)}" for name, value in options.items())
        text += f"\n{assignments}"
    return text


def as_cli_value(value: Any) -> str:
    """Return the value of an option in command-line form.

    >>> as_cli_value((4, 3, 1)), as_cli_value(None), as_cli_value(False), as_cli_value(0.5)
    ('4,3,1', 'null', 'false', '0.5')
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)
