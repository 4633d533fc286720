"""Scores as plain lists and dictionaries, for `--json` and evaluation.json; a figure that does not exist is None.

The keys are the same for scenes and images: test_clips counts images where there are images.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asc_mrkd.evaluation import ComparisonRow, RunSummary, most_confused
from asc_mrkd.report.columns import report_columns


def difference_records(rows: Sequence[ComparisonRow]) -> list[dict[str, Any]]:
    """Return one record per run: its figures, and its difference to its baseline.

    Differences and intervals are fractions of accuracy, for images too.
    """
    return [_difference_record(row) for row in rows]


def _difference_record(row: ComparisonRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "number": row.number,
        **headline_record(row.summary),
        "baseline": row.baseline,
        "test": None,
        "paired_seeds": None,
        "difference": None,
        "interval": None,
        "p_value": None,
        "one_minus_p": None,
        "effect": None,
        "effect_size": None,
        "bootstrap": None,
        "differing_settings": list(row.differing_settings),
        "warning": row.warning,
    }
    if row.test:
        record["test"] = row.test.name
        record["difference"] = row.test.difference
        record["p_value"] = row.test.p_value
        record["one_minus_p"] = row.test.one_minus_p
        record["effect"] = row.test.effect_name
        record["effect_size"] = row.test.effect_size
        if row.test.paired:
            record["paired_seeds"] = list(row.test.seeds)
        if row.test.interval:
            record["interval"] = asdict(row.test.interval)
    if row.bootstrap:
        record["bootstrap"] = {"resampled": row.resampled, **asdict(row.bootstrap)}
    return record


def evaluation_record(summary: RunSummary) -> dict[str, Any]:
    """Return everything known about one run."""
    confused_pairs = most_confused(summary.confusion, summary.classes, report_columns(summary.domain).pairs)
    return {
        **headline_record(summary),
        "per_seed": summary.per_seed.rename_axis("seed").reset_index().to_dict("records"),
        **{f"by_{column}": group_records(summary, column) for column in shown_groups(summary)},
        "classes": list(summary.classes),
        "confusion": summary.confusion.tolist(),
        "most_confused": [asdict(pair) for pair in confused_pairs],
    }


def group_records(summary: RunSummary, column: str) -> list[dict[str, Any]]:
    """Return one record per group of `column`: its name, clips, accuracy and log loss."""
    return [
        {column: name, "clips": clips, "accuracy": accuracy, "log_loss": log_loss}
        for name, clips, accuracy, log_loss in summary.by(column).itertuples()
    ]


def shown_groups(summary: RunSummary) -> list[str]:
    """List the groupings that deserve a table: the classes, and every group that is known for these samples.

    The groups of devices are listed only if the samples come from several of them. A group that only repeats the
    classes under other names is left out.
    """
    shown = ["label"]
    for column in summary.domain.groups:
        names = list(summary.by(column).index)
        is_known = names != [""] and column != "device_group"
        if (len(names) > 1 or is_known) and not _repeats_classes(summary, column):
            shown.append(column)
    return shown


def _repeats_classes(summary: RunSummary, column: str) -> bool:
    """Return whether every group holds the samples of one class and every class lies in one group."""
    pairs = summary.scores[["label", column]].drop_duplicates()
    return len(pairs) > 1 and pairs["label"].is_unique and pairs[column].is_unique


def headline_record(summary: RunSummary) -> dict[str, Any]:
    """Return name, method, seeds and figures of a run, mean and standard deviation over the seeds."""
    figures = {}
    for name in summary.per_seed.columns.tolist():
        figures[name] = asdict(summary.spread(name)) if name in summary.metrics else None
    return {
        "run": str(summary.folder),
        "method": summary.method,
        "compression": list(summary.compression),
        "seeds": summary.seeds,
        "unfinished_seeds": summary.unfinished_seeds,
        "test_clips": summary.test_clips,
        **figures,
    }
