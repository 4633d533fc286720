"""Print the scores of runs on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from asc_mrkd.evaluation import ComparisonRow, RunSummary, compare, conclusions
from asc_mrkd.report.comparisons import comparison_table, difference_table, run_table, where
from asc_mrkd.report.layout import layout_of
from asc_mrkd.report.records import shown_groups
from asc_mrkd.report.tables import breakdown_table, confused_pairs_table, confusion_table, seed_table

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
