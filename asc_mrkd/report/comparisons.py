"""Several runs in one table: their figures, their differences, and the uncertainty of these."""

from collections.abc import Sequence
from dataclasses import replace

from asc_mrkd.evaluation import ComparisonRow, ConfidenceInterval, RunSummary, compare_summaries, p_value_text
from asc_mrkd.evaluation.statistics import SIGNIFICANCE
from asc_mrkd.report.columns import report_columns
from asc_mrkd.report.tables import TextTable


def run_table(summaries: Sequence[RunSummary]) -> TextTable:
    """Tabulate every run by itself: last epoch, mean ± standard deviation over the seeds.

    The figures are those of the domain of the first run.
    """
    layout = report_columns(summaries[0].domain)
    columns = [column for column in layout.comparison if all(column.metric in one.metrics for one in summaries)]
    rows = []
    for number, summary in enumerate(summaries, start=1):
        figures = [column.write(summary.spread(column.metric)) for column in columns]
        rows.append([str(number), summary.method, str(len(summary.seeds)), *figures])
    return TextTable(
        title=layout.title,
        columns=("#", "Method", "Seeds", *(column.heading for column in columns)),
        rows=rows,
        text_columns=frozenset({1}),
        notes=[f"{number}  {folder_text(summary)}" for number, summary in enumerate(summaries, start=1)],
    )


def comparison_table(summaries: Sequence[RunSummary]) -> TextTable:
    """Tabulate every run and its difference to its baseline (see `asc_mrkd.evaluation.compare`)."""
    plain = run_table(summaries)
    direction = summaries[0].domain.direction
    rows = []
    for cells, row in zip(plain.rows, compare_summaries(summaries), strict=True):
        rows.append([*cells, _baseline_cell(row), _difference_cell(row, direction), _p_value_cell(row)])
    return replace(plain, columns=(*plain.columns, "vs", "Diff.", "p"), rows=rows)


def difference_table(rows: Sequence[ComparisonRow]) -> TextTable:
    """Tabulate the difference of every run to its baseline, in percentage points: interval, p, effect size.

    If the test set is small, a second interval over resampled test clips follows; a note tells the two apart.
    """
    direction = rows[0].summary.domain.direction
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


def folder_text(summary: RunSummary) -> str:
    """Name the run folder, and the seeds that are still missing in it."""
    seeds = ", ".join(map(str, summary.unfinished_seeds))
    return f"{summary.folder} (not finished: seed {seeds})" if seeds else str(summary.folder)


def _difference_cells(row: ComparisonRow, direction: int) -> list[str]:
    interval = effect_size = bootstrap_interval = ""
    if row.test and row.test.interval:
        interval = _interval_text(row.test.interval, direction)
    if row.test and row.test.effect_size is not None:
        effect_size = f"{abs(row.test.effect_size):.2f}"
    if row.bootstrap:
        bootstrap_interval = _interval_text(row.bootstrap.interval, direction)
    return [
        str(row.number),
        row.summary.method,
        _baseline_cell(row),
        _difference_cell(row, direction),
        interval,
        _p_value_cell(row),
        effect_size,
        bootstrap_interval,
    ]


def _baseline_cell(row: ComparisonRow) -> str:
    return "" if row.baseline is None else str(row.baseline)


def _difference_cell(row: ComparisonRow, direction: int) -> str:
    return "" if row.test is None else f"{100 * direction * row.test.difference:+z.2f}"


def _p_value_cell(row: ComparisonRow) -> str:
    if row.test is None or row.test.p_value is None:
        return ""
    return p_value_text(row.test.p_value).removeprefix("= ")


def _interval_text(interval: ConfidenceInterval, direction: int) -> str:
    shown = interval if direction > 0 else -interval
    return f"{100 * shown.low:+z.2f} to {100 * shown.high:+z.2f}"
