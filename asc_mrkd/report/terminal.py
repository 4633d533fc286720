"""Print the scores of runs on a terminal."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from asc_mrkd.evaluation import ComparisonRow, RunSummary, compare, conclusions
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.report.columns import layout_of
from asc_mrkd.report.comparisons import comparison_table, difference_table, run_table, where
from asc_mrkd.report.plots import confusion_matrix_png
from asc_mrkd.report.records import evaluation_records, shown_groups
from asc_mrkd.report.tables import breakdown_table, confused_pairs_table, confusion_table, seed_table


def write_evaluation(run_folder: str | Path, summary: RunSummary) -> None:
    """Write RUN/evaluation.json and RUN/confusion.png, each whole or not at all."""
    run_folder = Path(run_folder)
    text = json.dumps(evaluation_records(summary), indent=2, allow_nan=False)
    write_text(run_folder / "evaluation.json", text + "\n")
    with atomic_writer(run_folder / "confusion.png") as stream:
        stream.write(confusion_matrix_png(summary))


MAX_CONFUSION_CLASSES = 12
"""A confusion table of more classes does not fit in 80 columns; confusion.png shows it."""


def print_evaluation(summary: RunSummary, console: Console) -> None:
    """Print every table of one run, each at most 80 columns wide."""
    console.print(Text(f"{summary.method}: {summary.test_clips} {summary.scored}, after the last epoch", "bold"))
    console.print(Text(where(summary), overflow="fold"))
    worst = layout_of(summary).worst
    tables = [seed_table(summary), *(breakdown_table(summary, column, worst) for column in shown_groups(summary))]
    if len(summary.classes) <= MAX_CONFUSION_CLASSES:
        tables.append(confusion_table(summary))
    for table in [*tables, confused_pairs_table(summary)]:
        console.print()
        console.print(table)


def print_comparison(summaries: Sequence[RunSummary], console: Console) -> None:
    """Print the comparison table and what it supports."""
    console.print(comparison_table(summaries))
    _print_conclusions(compare(summaries), console)


def print_differences(rows: Sequence[ComparisonRow], console: Console) -> None:
    """Print the runs, their differences with intervals and effect sizes, and what these support."""
    console.print(run_table([row.summary for row in rows]))
    console.print()
    console.print(difference_table(rows))
    _print_conclusions(rows, console)


def _print_conclusions(rows: Sequence[ComparisonRow], console: Console) -> None:
    for sentence in conclusions(rows):
        console.print()
        console.print(Text(sentence))
