"""Scores as plain lists and dictionaries, for `--json` and evaluation.json; a figure that does not exist is None.

The keys are those of scenes for every kind of run: test_clips counts images where there are images.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asc_mrkd.evaluation import ComparisonRow, RunSummary, compare, most_confused
from asc_mrkd.report.columns import layout_of


def comparison_records(summaries: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """One record per run: its figures, and its difference in accuracy to its baseline."""
    return difference_records(compare(summaries))


def difference_records(rows: Sequence[ComparisonRow]) -> list[dict[str, Any]]:
    """One record per compared run; differences and intervals are fractions of accuracy, for images too."""
    return [
        {
            "number": row.number,
            **headline(row.summary),
            "baseline": row.baseline,
            "test": row.test and row.test.name,
            "paired_seeds": list(row.test.seeds) if row.test and row.test.paired else None,
            "difference": row.test and row.test.difference,
            "interval": row.test and row.test.interval and asdict(row.test.interval),
            "p_value": row.test and row.test.p_value,
            "confidence": row.test and row.test.confidence,
            "effect": row.test and row.test.effect_name,
            "effect_size": row.test and row.test.effect_size,
            "bootstrap": row.bootstrap and {"resampled": row.resampled, **asdict(row.bootstrap)},
            "warning": row.warning,
        }
        for row in rows
    ]


def evaluation_records(summary: RunSummary) -> dict[str, Any]:
    """Everything known about one run."""
    return {
        **headline(summary),
        "per_seed": summary.per_seed.rename_axis("seed").reset_index().to_dict("records"),
        **{f"by_{column}": group_records(summary, column) for column in shown_groups(summary)},
        "classes": list(summary.classes),
        "confusion": summary.confusion.tolist(),
        "most_confused": [
            asdict(pair) for pair in most_confused(summary.confusion, summary.classes, layout_of(summary).pairs)
        ],
    }


def group_records(summary: RunSummary, column: str) -> list[dict[str, Any]]:
    """One record per group of `column`: its name, clips, accuracy and log loss."""
    return [
        {column: name, "clips": clips, "accuracy": accuracy, "log_loss": log_loss}
        for name, clips, accuracy, log_loss in summary.by(column).itertuples()
    ]


def shown_groups(summary: RunSummary) -> list[str]:
    """List the columns worth a table: what the samples have, and the device groups where there are several."""
    groups = {column: list(summary.by(column).index) for column in ("label", *summary.kind.groups)}
    return [
        column for column, names in groups.items() if len(names) > 1 or (column != "device_group" and names != [""])
    ]


def headline(summary: RunSummary) -> dict[str, Any]:
    """Return what a run is and its figures, mean and deviation over the seeds."""
    return {
        "run": str(summary.folder),
        "method": summary.method,
        "seeds": summary.seeds,
        "unfinished_seeds": summary.unfinished_seeds,
        "test_clips": summary.test_clips,
        **{
            name: asdict(summary.spread(name)) if name in summary.metrics else None
            for name in summary.per_seed.columns.tolist()
        },
    }
