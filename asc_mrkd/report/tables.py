"""What the tables of one run say, as text: written once, shown on a terminal of 80 columns and on the HTML page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from asc_mrkd.evaluation import RunSummary, most_confused, overall_metrics
from asc_mrkd.report.columns import layout_of, percent


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


LONG_TABLE = 20
"""Groups that a table may have before it can be cut down to the worst."""


def seed_table(summary: RunSummary) -> TextTable:
    """One line per seed. The best epoch is shown beside the result, because papers quote it, but it is not one."""
    layout = layout_of(summary)
    columns = [column for column in layout.seeds if column.metric in summary.metrics]
    best_heading, best_cell = layout.best
    rows = []
    for seed, last in summary.per_seed.iterrows():
        best = summary.best_epoch(int(str(seed)))
        best_text = best_cell.format(columns[0].cell(best[1]), best[0]) if best else ""
        rows.append([str(seed), *(column.cell(last[column.metric]) for column in columns), best_text])
    return TextTable(
        title="Seeds",
        columns=("Seed", *(column.heading for column in columns), best_heading),
        rows=rows,
        total=("mean ± std", *(column.write(summary.spread(column.metric)) for column in columns), ""),
        notes=[layout.best_note.format(summary.scored)],
    )


def breakdown_table(summary: RunSummary, column: str = "label", worst: int | None = None) -> TextTable:
    """Figures by label or another group of the samples (city, device, superclass, ...), pooled over the seeds.

    The last row of the class table is that of the DCASE baselines: macro accuracy and log loss of all clips.
    With `worst`, a table of more than LONG_TABLE groups shows only that many, the least accurate first.
    """
    layout, name = layout_of(summary), "class" if column == "label" else column.replace("_", " ")
    groups, title = summary.by(column), f"By {name}"
    if worst and len(groups) > LONG_TABLE:
        title += f": the {worst} worst of {len(groups)}"
        groups = groups.sort_values("accuracy", kind="stable").head(worst)
    overall = asdict(overall_metrics(summary.scores))
    if column == "label":
        overall["accuracy"] = overall["macro_accuracy"]
    return TextTable(
        title=title,
        columns=(name.capitalize(), summary.kind.samples.capitalize(), *(one.heading for one in layout.groups)),
        rows=[
            [str(group), f"{row['clips']:.0f}", *(one.cell(row[one.metric]) for one in layout.groups)]
            for group, row in groups.iterrows()
        ],
        total=(
            "average" if column == "label" else f"all {summary.kind.samples}",
            str(summary.test_clips),
            *(one.cell(overall[one.metric]) for one in layout.groups),
        ),
    )


def confusion_table(summary: RunSummary) -> TextTable:
    """Counts summed over the seeds; a row is a true class, whose short name heads the column of the same prediction."""
    short = abbreviate(summary.classes)
    return TextTable(
        title="Confusion: true class (row) and predicted class (column)",
        columns=("True class", "", *short),
        rows=[
            [name, abbreviation, *(str(clips or "·") for clips in row)]
            for name, abbreviation, row in zip(summary.classes, short, summary.confusion.tolist(), strict=True)
        ],
        text_columns=frozenset({0, 1}),
    )


def confused_pairs_table(summary: RunSummary) -> TextTable:
    """List the most confused pairs of classes; the samples are summed over the seeds."""
    return TextTable(
        title="Most confused",
        columns=("True class", "Taken for", summary.kind.samples.capitalize(), "Share %"),
        rows=[
            [pair.true, pair.predicted, str(pair.clips), percent(pair.share)]
            for pair in most_confused(summary.confusion, summary.classes, layout_of(summary).pairs)
        ],
        text_columns=frozenset({0, 1}),
    )


def abbreviate(classes: Sequence[str]) -> list[str]:
    """Shorten class names to three letters, or to numbers where that is ambiguous.

    >>> abbreviate(["bus", "metro", "metro_station", "public_square"])
    ['bus', 'met', 'mst', 'psq']
    """
    short = []
    for name in classes:
        first, _, rest = name.partition("_")
        short.append(first[:1] + rest[:2] if rest else first[:3])
    return short if len(set(short)) == len(short) else [str(number) for number in range(1, len(classes) + 1)]
