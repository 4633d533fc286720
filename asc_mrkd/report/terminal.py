"""Print the scores of runs on a terminal, and write those of one run next to it."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from asc_mrkd.evaluation import ComparisonRow, RunSummary, conclusions
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.report.comparisons import comparison_table, difference_table, folder_text, run_table
from asc_mrkd.report.records import evaluation_record, shown_groups
from asc_mrkd.report.tables import breakdown_table, confused_pairs_table, confusion_table, seed_table, worst_shown

MAX_CONFUSION_CLASSES = 12
"""Largest number of classes whose confusion table fits in 80 columns; confusion.png shows more."""


def write_evaluation(summary: RunSummary) -> None:
    """Write evaluation.json and confusion.png into the run folder, each whole or not at all."""
    from asc_mrkd.report.plots import confusion_matrix_png  # only now: matplotlib takes long to import

    text = json.dumps(evaluation_record(summary), indent=2, allow_nan=False)
    write_text(summary.folder / "evaluation.json", text + "\n")
    with atomic_writer(summary.folder / "confusion.png") as stream:
        stream.write(confusion_matrix_png(summary))


def print_evaluation(summary: RunSummary, console: Console) -> None:
    """Print every table of one run, each at most 80 columns wide."""
    console.print(Text(f"{summary.method}: {summary.test_clips} {summary.scored}, after the last epoch", "bold"))
    console.print(Text(folder_text(summary), overflow="fold"))
    tables = [seed_table(summary)]
    tables += [breakdown_table(summary, column, worst_shown(summary, column)) for column in shown_groups(summary)]
    if len(summary.classes) <= MAX_CONFUSION_CLASSES:
        tables.append(confusion_table(summary))
    tables.append(confused_pairs_table(summary))
    for table in tables:
        console.print()
        console.print(table)


def print_comparison(rows: Sequence[ComparisonRow], console: Console) -> None:
    """Print the comparison table and its conclusions."""
    console.print(comparison_table(rows))
    _print_conclusions(rows, console)


def print_differences(rows: Sequence[ComparisonRow], console: Console) -> None:
    """Print the runs, their differences with intervals and effect sizes, and the conclusions."""
    console.print(run_table([row.summary for row in rows]))
    console.print()
    console.print(difference_table(rows))
    _print_conclusions(rows, console)


def _print_conclusions(rows: Sequence[ComparisonRow], console: Console) -> None:
    for sentence in conclusions(rows):
        console.print()
        console.print(Text(sentence))
