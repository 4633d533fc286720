"""Runs beside each other, as text: their figures, their differences, and what these are worth."""

from collections.abc import Sequence
from dataclasses import replace

from asc_mrkd.evaluation import ComparisonRow, Interval, RunSummary, compare, p_text
from asc_mrkd.evaluation.statistics import SIGNIFICANCE
from asc_mrkd.report.columns import layout_of
from asc_mrkd.report.tables import TextTable


def run_table(summaries: Sequence[RunSummary]) -> TextTable:
    """Every run by itself, last epoch, mean ± standard deviation over the seeds."""
    layout = layout_of(summaries[0])
    columns = [column for column in layout.comparison if all(column.metric in one.metrics for one in summaries)]
    return TextTable(
        title=layout.title,
        columns=("#", "Method", "Seeds", *(column.heading for column in columns)),
        rows=[
            [
                str(number),
                summary.method,
                str(len(summary.seeds)),
                *(column.write(summary.spread(column.metric)) for column in columns),
            ]
            for number, summary in enumerate(summaries, start=1)
        ],
        text_columns=frozenset({1}),
        notes=[f"{number}  {where(summary)}" for number, summary in enumerate(summaries, start=1)],
    )


def comparison_table(summaries: Sequence[RunSummary]) -> TextTable:
    """Every run against its baseline (see `asc_mrkd.evaluation.compare`), last epoch, mean ± standard deviation.

    The figures are those of the kind of the first run.
    """
    plain, direction = run_table(summaries), layout_of(summaries[0]).direction
    return replace(
        plain,
        columns=(*plain.columns, "vs", "Diff.", "p"),
        rows=[
            [*cells, _baseline_cell(row), _difference_cell(row, direction), _p_cell(row)]
            for cells, row in zip(plain.rows, compare(summaries), strict=True)
        ],
    )


def difference_table(rows: Sequence[ComparisonRow]) -> TextTable:
    """Every compared run against its baseline, in percentage points: interval over the seeds, p, effect size.

    Where the test set is small, the interval over drawn test samples stands beside; a line below tells the two apart.
    """
    direction = layout_of(rows[0].summary).direction
    compared = [row for row in rows if row.baseline is not None]
    level = f"{1 - SIGNIFICANCE:.0%}"
    effect = next((row.test.effect_name.split()[-1] for row in compared if row.test), "g")
    resampled = next((row.resampled for row in compared if row.bootstrap), None)
    columns = ["#", "Method", "vs", "Diff.", f"{level} (seeds)", "p", f"|{effect}|"]
    note = "Seeds: how steady training is, not how far the test set carries."
    if resampled:
        columns.append(f"{level} ({resampled})")
        note = f"Seeds: how steady training is. {resampled.capitalize()}: how far the test set carries."
    return TextTable(
        title="Difference to the run in column “vs”, percentage points",
        columns=columns,
        rows=[_difference_cells(row, direction)[: len(columns)] for row in compared],
        text_columns=frozenset({1}),
        notes=[note],
    )


def where(summary: RunSummary) -> str:
    """Name the run folder, and the seeds that are still missing in it."""
    seeds = ", ".join(map(str, summary.unfinished_seeds))
    return f"{summary.folder} (not finished: seed {seeds})" if seeds else str(summary.folder)


def _difference_cells(row: ComparisonRow, direction: int) -> list[str]:
    test = row.test
    return [
        str(row.number),
        row.summary.method,
        _baseline_cell(row),
        _difference_cell(row, direction),
        _interval_cell(test.interval if test else None, direction),
        _p_cell(row),
        "" if test is None or test.effect_size is None else f"{abs(test.effect_size):.2f}",
        _interval_cell(row.bootstrap.interval if row.bootstrap else None, direction),
    ]


def _baseline_cell(row: ComparisonRow) -> str:
    return "" if row.baseline is None else str(row.baseline)


def _difference_cell(row: ComparisonRow, direction: int) -> str:
    return "" if row.test is None else f"{100 * direction * row.test.difference:+z.2f}"


def _p_cell(row: ComparisonRow) -> str:
    return "" if row.test is None or row.test.p_value is None else p_text(row.test.p_value).removeprefix("= ")


def _interval_cell(interval: Interval | None, direction: int) -> str:
    if interval is None:
        return ""
    shown = interval if direction > 0 else -interval
    return f"{100 * shown.low:+z.2f} to {100 * shown.high:+z.2f}"
