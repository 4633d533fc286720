"""A table of finished cells, for a terminal of 80 columns and for the HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class TextTable:
    """A table of finished cells; rich prints it as it is."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: Sequence[str] = ()
    """A last row set apart from the others."""
    text_columns: frozenset[int] = frozenset({0})
    """Columns aligned to the left; the others hold numbers."""
    notes: Sequence[str] = ()
    """Lines below the table."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for a terminal: two blanks between columns, or one where the width needs it."""
        wide = self._table(gap=2)
        unlimited = options.update(max_width=10_000)
        fits = Measurement.get(console, unlimited, wide).maximum <= options.max_width
        yield Text(self.title, style="bold")
        yield wide if fits else self._table(gap=1)
        for note in self.notes:
            yield Text(note, style="dim", overflow="fold")

    def _table(self, gap: int) -> Table:
        # The box draws one blank between columns. Cells are Text, so a bracket in a name is never taken for markup.
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
        for index, name in enumerate(self.columns):
            if index in self.text_columns:
                table.add_column(Text(name), overflow="fold")
            else:
                table.add_column(Text(name), justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*map(Text, row))
        if self.total:
            table.add_section()
            table.add_row(*map(Text, self.total), style="bold")
        return table
