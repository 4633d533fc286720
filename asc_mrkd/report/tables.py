"""Tables of one run as text: written once, shown on a terminal of 80 columns and on the HTML page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from asc_mrkd.evaluation import RunSummary, most_confused, overall_metrics
from asc_mrkd.notebook import printed_html
from asc_mrkd.report.columns import percent, report_columns


@dataclass(frozen=True)
class TextTable:
    """A table of finished cells; rich prints it as it is."""

    title: str
    """Heading above the table."""
    columns: Sequence[str]
    """Heads of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells of the rows, as many as there are columns."""
    total: Sequence[str] = ()
    """A last row, set apart from the others."""
    text_columns: frozenset[int] = frozenset({0})
    """Positions of the columns that are aligned to the left; the others hold numbers."""
    notes: Sequence[str] = ()
    """Lines below the table."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for a terminal: two blanks between columns, or one if the width is too small for two."""
        wide = self._rich_table(gap=2)
        unlimited = options.update(max_width=10_000)
        fits = Measurement.get(console, unlimited, wide).maximum <= options.max_width
        yield Text(self.title, style="bold")
        yield wide if fits else self._rich_table(gap=1)
        for note in self.notes:
            yield Text(note, style="dim", overflow="fold")

    def _repr_html_(self) -> str:
        return printed_html(lambda console: console.print(self))

    def _rich_table(self, gap: int) -> Table:
        # The box draws one blank between columns. Cells are Text, so a bracket in a name is never read as markup.
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
"""Number of groups above which a table can be cut down to the worst."""


def seed_table(summary: RunSummary) -> TextTable:
    """Tabulate the figures of every seed, and the best epoch, which papers quote but which is not a result."""
    layout = report_columns(summary.domain)
    columns = [column for column in layout.seeds if column.metric in summary.metrics]
    rows = []
    for seed, last in summary.per_seed.iterrows():
        figures = [column.cell(last[column.metric]) for column in columns]
        best_text = ""
        best = summary.best_epoch(int(str(seed)))
        if best:
            epoch, accuracy = best
            best_text = layout.best_cell.format(columns[0].cell(accuracy), epoch)
        rows.append([str(seed), *figures, best_text])
    return TextTable(
        title="Seeds",
        columns=("Seed", *(column.heading for column in columns), layout.best_heading),
        rows=rows,
        total=("mean ± std", *(column.write(summary.spread(column.metric)) for column in columns), ""),
        notes=[layout.best_note.format(summary.scored)],
    )


WORST_GROUPS = 10
"""Number of groups of own recordings that a long table shows: there may be as many as recordings."""


def worst_shown(summary: RunSummary, column: str) -> int | None:
    """Return the number of groups that a long table is cut down to; None shows all."""
    return WORST_GROUPS if column == "group" else report_columns(summary.domain).worst


def breakdown_table(summary: RunSummary, column: str = "label", worst: int | None = None) -> TextTable:
    """Tabulate the figures by label or by another group (city, device, superclass, ...), pooled over the seeds.

    The last row of the table by class is that of the DCASE baselines: macro accuracy and log loss of all clips.
    With `worst`, a table of more than LONG_TABLE groups shows only that many, the least accurate first.
    """
    columns = report_columns(summary.domain).groups
    samples = summary.domain.samples
    name = "class" if column == "label" else column.replace("_", " ")
    title = f"By {name}"
    groups = summary.by(column)
    if worst and len(groups) > LONG_TABLE:
        title += f": the {worst} worst of {len(groups)}"
        groups = groups.sort_values("accuracy", kind="stable").head(worst)
    rows = []
    for group, figures in groups.iterrows():
        cells = [one.cell(figures[one.metric]) for one in columns]
        rows.append([str(group) or "(none)", f"{figures['clips']:.0f}", *cells])
    overall = asdict(overall_metrics(summary.scores))
    total_name = f"all {samples}"
    if column == "label":
        overall["accuracy"] = overall["macro_accuracy"]
        total_name = "average"
    return TextTable(
        title=title,
        columns=(name.capitalize(), samples.capitalize(), *(one.heading for one in columns)),
        rows=rows,
        total=(total_name, str(summary.test_clips), *(one.cell(overall[one.metric]) for one in columns)),
    )


def confusion_table(summary: RunSummary) -> TextTable:
    """Tabulate the confusions, summed over the seeds: a row per true class, a column per predicted class.

    The columns are headed by the short names of the classes, which the rows explain.
    """
    short_names = abbreviate(summary.classes)
    rows = []
    for name, short_name, counts in zip(summary.classes, short_names, summary.confusion.tolist(), strict=True):
        rows.append([name, short_name, *(str(clips or "·") for clips in counts)])
    return TextTable(
        title="Confusion: true class (row) and predicted class (column)",
        columns=("True class", "", *short_names),
        rows=rows,
        text_columns=frozenset({0, 1}),
    )


def confused_pairs_table(summary: RunSummary) -> TextTable:
    """Tabulate the most confused pairs of classes; the samples are summed over the seeds."""
    pairs = most_confused(summary.confusion, summary.classes, report_columns(summary.domain).pairs)
    return TextTable(
        title="Most confused",
        columns=("True class", "Taken for", summary.domain.samples.capitalize(), "Share %"),
        rows=[[pair.true, pair.predicted, str(pair.clips), percent(pair.share)] for pair in pairs],
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
