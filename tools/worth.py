"""Print what methods are worth: accuracy, log loss and calibration of runs, against those trained with labels alone.

python tools/worth.py exp/laptop/images_long exp/laptop/images_short

Every folder is a sweep over methods; runs without a finished seed are left out. Differences to cross-entropy are
paired by seed; the p-values of a table are corrected by Holm's method, accuracy and log loss each for themselves.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from asc_mrkd.evaluation import RunSummary, evaluate
from asc_mrkd.evaluation.statistics import paired_test
from asc_mrkd.report.columns import loss_spread, percent_spread
from asc_mrkd.runs import RunFolder

COLUMNS = ("method", "seeds", "train acc.", "accuracy", "p", "log loss", "p", "calibration error")


@dataclass
class Row:
    """One method of a table."""

    summary: RunSummary
    """Scores of its run."""
    p_accuracy: float | None
    """p-value of its accuracy against cross-entropy; None for cross-entropy, or where no test is possible."""
    p_log_loss: float | None
    """The same of its log loss."""


def worth_rows(sweep: Path) -> list[Row]:
    """Score the runs of a sweep; cross-entropy comes first, then the others by their mean accuracy."""
    runs = [RunFolder(config.parent) for config in sorted(sweep.glob("*/config.yaml"))]
    summaries = [evaluate(run.path) for run in runs if run.finished_seeds()]
    baseline = next((one for one in summaries if one.experiment.method.name == "ce"), None)
    if baseline is None:
        raise SystemExit(f"{sweep} has no finished run of cross-entropy, with which the others are compared")
    others = sorted((one for one in summaries if one is not baseline), key=lambda one: -one.spread("accuracy").mean)
    accuracies = holm([p_value(one, baseline, "accuracy") for one in others])
    log_losses = holm([p_value(one, baseline, "log_loss") for one in others])
    return [Row(baseline, None, None), *map(Row, others, accuracies, log_losses)]


def p_value(run: RunSummary, baseline: RunSummary, metric: str) -> float | None:
    """Return the p-value of the difference of two runs, paired by seed."""
    return paired_test(run.per_seed[metric], baseline.per_seed[metric]).p_value


def holm(p_values: list[float | None]) -> list[float | None]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics, 1979).

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


def method_name(summary: RunSummary) -> str:
    """Return the name of a method, with the options of MrKD that the runs differ in."""
    method = summary.experiment.method
    if method.name != "mrkd":
        return method.name
    teachers = method.options["teachers"]
    return f"mrkd {method.options['preset'] if teachers == 'exact' else teachers}"


def train_accuracy(summary: RunSummary) -> float:
    """Return the mean accuracy of training in the last epoch, over the seeds."""
    return float(summary.history.groupby("seed")["train_accuracy"].last().mean())


def cells(row: Row) -> list[str]:
    """Return the cells of a row: percentages, nats and p-values."""
    accuracy = row.summary.spread("accuracy")
    log_loss = row.summary.spread("log_loss")
    calibration = row.summary.spread("calibration_error")
    return [
        method_name(row.summary),
        str(len(row.summary.seeds)),
        f"{100 * train_accuracy(row.summary):.1f}",
        percent_spread(accuracy),
        shown(row.p_accuracy),
        loss_spread(log_loss),
        shown(row.p_log_loss),
        f"{100 * calibration.mean:.1f}",
    ]


def shown(p: float | None) -> str:
    """Return a p-value as text."""
    return "-" if p is None else f"{p:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print what the methods are worth.")
    parser.add_argument("sweeps", nargs="+", type=Path, metavar="SWEEP", help="folder of a sweep over methods")
    for sweep in parser.parse_args().sweeps:
        print(f"\n{sweep.name}\n")
        print("| " + " | ".join(COLUMNS) + " |")
        print("|---" * len(COLUMNS) + "|")
        for row in worth_rows(sweep):
            print("| " + " | ".join(cells(row)) + " |")


if __name__ == "__main__":
    main()
