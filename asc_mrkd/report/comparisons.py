"""Several runs in one table: their figures, their differences, and the uncertainty of these."""

from collections.abc import Sequence
from dataclasses import replace

from asc_mrkd.evaluation import (
    ComparisonRow,
    RunSummary,
    difference_text,
    interval_text,
    p_value_text,
)
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


def comparison_table(rows: Sequence[ComparisonRow]) -> TextTable:
    """Tabulate every run and its difference to its baseline (see `asc_mrkd.evaluation.compare`)."""
    plain = run_table([row.summary for row in rows])
    compared = []
    for cells, row in zip(plain.rows, rows, strict=True):
        compared.append([*cells, _baseline_cell(row), _difference_cell(row), _p_value_cell(row)])
    notes = [*plain.notes, *_test_notes(rows)]
    return replace(plain, columns=(*plain.columns, "vs", "Diff.", "p"), rows=compared, notes=notes)


def difference_table(rows: Sequence[ComparisonRow]) -> TextTable:
    """Tabulate the difference of every run to its baseline, in percentage points: interval, p, effect size.

    If the test set is small, a second interval over resampled test clips follows; a note tells the two apart.
    """
    compared = [row for row in rows if row.baseline is not None]
    level = f"{1 - SIGNIFICANCE:.0%}"
    effects = {row.test.effect_name.split()[-1] for row in compared if row.test} or {"g"}
    effect = f"|{effects.pop()}|" if len(effects) == 1 else "Size"
    resampled = next((row.resampled for row in compared if row.bootstrap), None)
    columns = ["#", "Method", "vs", "Diff.", f"{level} (seeds)", "p", effect]
    note = "Seeds: how steady training is, not how far the test set carries."
    if resampled:
        columns.append(f"{level} ({resampled})")
        note = f"Seeds: how steady training is. {resampled.capitalize()}: how far the test set carries."
    return TextTable(
        title="Difference to the run in column “vs”, percentage points",
        columns=columns,
        rows=[_difference_cells(row)[: len(columns)] for row in compared],
        text_columns=frozenset({1}),
        notes=[note, *_test_notes(compared)],
    )


def folder_text(summary: RunSummary) -> str:
    """Name the run folder, its folds, the steps of its compression, and the seeds that are still missing in it."""
    seeds = ", ".join(map(str, summary.unfinished_seeds))
    data = summary.experiment.data
    remarks = []
    if data.is_cross_validation:
        remarks.append(f"cross-validation with {data.folds} folds")
    elif data.fold is not None:
        remarks.append(f"fold {data.fold} of {data.folds}")
    if summary.compression:
        remarks.append(f"compressed by {', '.join(summary.compression)}")
    if seeds:
        remarks.append(f"not finished: seed {seeds}")
    return f"{summary.folder} ({', '.join(remarks)})" if remarks else str(summary.folder)


def _test_notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """Name the tests behind the p-values, with the runs of each if there are several, and say what they leave out."""
    numbers: dict[str, list[str]] = {}
    for row in rows:
        if row.test and row.test.p_value is not None:
            kind = "the same seeds" if row.test.paired else "all seeds"
            test = f"{row.test.name} over {kind}, effect size {row.test.effect_name}"
            numbers.setdefault(test, []).append(str(row.number))
    notes = [f"p of run {', '.join(runs)}: {test}" for test, runs in numbers.items()]
    if len(numbers) == 1:
        notes = [f"p: {test}" for test in numbers]
    if sum(map(len, numbers.values())) > 1:
        notes.append("p is not corrected for the number of comparisons")
    return notes


def _difference_cells(row: ComparisonRow) -> list[str]:
    interval = effect_size = bootstrap_interval = ""
    if row.test and row.test.interval:
        interval = interval_text(row.test.interval, row.summary.domain)
    if row.test and row.test.effect_size is not None:
        effect_size = f"{abs(row.test.effect_size):.2f}"
    if row.bootstrap:
        bootstrap_interval = interval_text(row.bootstrap.interval, row.summary.domain)
    return [
        str(row.number),
        row.summary.method,
        _baseline_cell(row),
        _difference_cell(row),
        interval,
        _p_value_cell(row),
        effect_size,
        bootstrap_interval,
    ]


def _baseline_cell(row: ComparisonRow) -> str:
    return "" if row.baseline is None else str(row.baseline)


def _difference_cell(row: ComparisonRow) -> str:
    return "" if row.test is None else difference_text(row.test.difference, row.summary.domain)


def _p_value_cell(row: ComparisonRow) -> str:
    if row.test is None or row.test.p_value is None:
        return ""
    return p_value_text(row.test.p_value).removeprefix("= ")
