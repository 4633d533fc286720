"""What the tables say, as text: written once, shown on a terminal of 80 columns and on the HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from asc_mrkd.evaluation import ComparisonRow, RunSummary, Spread, compare, most_confused, overall_metrics, p_text
from asc_mrkd.report.records import GROUPS


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


def comparison_table(summaries: Sequence[RunSummary]) -> TextTable:
    """Every run against its baseline (see `asc_mrkd.evaluation.compare`), last epoch, mean ± standard deviation."""
    return TextTable(
        title="Accuracy after the last epoch",
        columns=("#", "Method", "Seeds", "Accuracy %", "Macro %", "Log loss", "vs", "Diff.", "p"),
        rows=[_comparison_row(row) for row in compare(summaries)],
        text_columns=frozenset({1}),
        notes=[f"{number}  {where(summary)}" for number, summary in enumerate(summaries, start=1)],
    )


def where(summary: RunSummary) -> str:
    """Name the run folder, and the seeds that are still missing in it."""
    seeds = ", ".join(map(str, summary.unfinished_seeds))
    return f"{summary.folder} (not finished: seed {seeds})" if seeds else str(summary.folder)


def _comparison_row(row: ComparisonRow) -> list[str]:
    summary, test = row.summary, row.test
    return [
        str(row.number),
        summary.method,
        str(len(summary.seeds)),
        percent_spread(summary.spread("accuracy")),
        percent(summary.spread("macro_accuracy").mean),
        loss_spread(summary.spread("log_loss")),
        "" if row.baseline is None else str(row.baseline),
        "" if test is None else f"{100 * test.difference:+.2f}",
        "" if test is None or test.p_value is None else p_text(test.p_value).removeprefix("= "),
    ]


def seed_table(summary: RunSummary) -> TextTable:
    """One line per seed. The best epoch is shown beside the result, because papers quote it, but it is not one."""
    rows = []
    for seed, last in summary.per_seed.iterrows():
        best = summary.best_epoch(int(str(seed)))
        rows.append(
            [
                str(seed),
                percent(last["accuracy"]),
                percent(last["macro_accuracy"]),
                f"{last['log_loss']:.3f}",
                f"{percent(best[1])} (epoch {best[0]})" if best else "",
            ]
        )
    return TextTable(
        title="Seeds",
        columns=("Seed", "Accuracy %", "Macro %", "Log loss", "Best epoch *"),
        rows=rows,
        total=(
            "mean ± std",
            percent_spread(summary.spread("accuracy")),
            percent_spread(summary.spread("macro_accuracy")),
            loss_spread(summary.spread("log_loss")),
            "",
        ),
        notes=["* chosen on the test clips: never a result, only a sign of how steady the run is"],
    )


def breakdown_table(summary: RunSummary, column: str = "label") -> TextTable:
    """Accuracy and log loss by label, city, device or device_group, pooled over the seeds.

    The last row of the class table is that of the DCASE baselines: macro accuracy and log loss of all clips.
    """
    overall = overall_metrics(summary.scores)
    last, mean = ("average", overall.macro_accuracy) if column == "label" else ("all clips", overall.accuracy)
    return TextTable(
        title=f"By {GROUPS[column]}",
        columns=(GROUPS[column].capitalize(), "Clips", "Accuracy %", "Log loss"),
        rows=[
            [str(name), str(clips), percent(accuracy), f"{log_loss:.3f}"]
            for name, clips, accuracy, log_loss in summary.by(column).itertuples()
        ],
        total=(last, str(summary.test_clips), percent(mean), f"{overall.log_loss:.3f}"),
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
    """List the five most confused pairs of classes."""
    return TextTable(
        title="Most confused",
        columns=("True class", "Taken for", "Clips", "Share %"),
        rows=[
            [pair.true, pair.predicted, str(pair.clips), percent(pair.share)]
            for pair in most_confused(summary.confusion, summary.classes)
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


def percent(fraction: float) -> str:
    """Write a fraction as a percentage with two decimals."""
    return f"{100 * fraction:.2f}"


def percent_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of fractions as percentages.

    >>> percent_spread(Spread(0.7812, 0.0045)), percent_spread(Spread(0.7812, None))
    ('78.12 ± 0.45', '78.12')
    """
    return percent(spread.mean) if spread.std is None else f"{percent(spread.mean)} ± {percent(spread.std)}"


def loss_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of log losses with three decimals."""
    return f"{spread.mean:.3f}" if spread.std is None else f"{spread.mean:.3f} ± {spread.std:.3f}"
