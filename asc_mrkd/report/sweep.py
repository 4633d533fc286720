"""The points of a sweep beside each other: a table, records, a CSV file, and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from asc_mrkd.config import Experiment
from asc_mrkd.evaluation import RunSummary, summarise_run
from asc_mrkd.evaluation.kinds import kind_of
from asc_mrkd.files import atomic_writer
from asc_mrkd.report.layout import LAYOUTS
from asc_mrkd.report.plots import png, verbatim
from asc_mrkd.report.records import headline
from asc_mrkd.report.sweep_figure import sweep_figure
from asc_mrkd.report.text_table import TextTable

SHOWN = ("accuracy", "log_loss")
"""The figures of the table; the CSV file has all."""


@dataclass(frozen=True)
class SweptPoint:
    """One point of a sweep.

    Attributes:
        values: the swept keys and what they are here.
        experiment: what was trained; its seeds are those of the sweep.
        summary: the scores of those seeds that are finished; None if there is none.
        failure: why it could not be trained to the end; empty if it was.
    """

    values: dict[str, str]
    experiment: Experiment
    summary: RunSummary | None
    failure: str = ""


def read_point(
    values: dict[str, str], folder: Path, experiment: Experiment, seeds: Sequence[int], failure: str = ""
) -> SweptPoint:
    """Score the given seeds of a point; other seeds in its folder do not count, so that all points have the same."""
    experiment = experiment.model_copy(update={"seeds": list(seeds)})
    if not any((folder / f"seed{seed}" / "predictions.csv").exists() for seed in seeds):
        return SweptPoint(values, experiment, None, failure)
    summary = summarise_run(folder)
    finished = [seed for seed in seeds if seed in summary.per_seed.index]
    summary = replace(summary, experiment=experiment, per_seed=summary.per_seed.loc[finished])
    return SweptPoint(values, experiment, summary, failure)


def sweep_table(points: Sequence[SweptPoint]) -> TextTable:
    """Tabulate the points in their order: mean ± standard deviation over the seeds, after the last epoch."""
    layout, keys = LAYOUTS[kind_of(points[0].experiment).name], list(points[0].values)
    columns = [column for column in layout.seeds if column.metric in SHOWN]

    def cells(point: SweptPoint) -> list[str]:
        if point.failure or point.summary is None:  # a mean over the seeds that did not diverge would flatter
            return ["failed", *[""] * (len(columns) - 1)]
        return [column.write(point.summary.spread(column.metric)) for column in columns]

    scored = next((f"Scored: {point.summary.scored}." for point in points if point.summary), "")
    failed = [f"failed: {_typed(point.values)}: {point.failure}" for point in points if point.failure]
    return TextTable(
        title=layout.title,
        columns=(*keys, "Seeds", *(column.heading for column in columns)),
        rows=[
            [*point.values.values(), str(len(point.summary.seeds) if point.summary else 0), *cells(point)]
            for point in points
        ],
        text_columns=frozenset(range(len(keys))),
        notes=[*failed, *filter(None, [scored])],
    )


def sweep_records(points: Sequence[SweptPoint]) -> list[dict[str, Any]]:
    """Return a record per point for `--json`."""
    return [
        {"values": point.values, "failure": point.failure, "scores": point.summary and headline(point.summary)}
        for point in points
    ]


def write_sweep(folder: Path, points: Sequence[SweptPoint]) -> list[Path]:
    """Write sweep.csv and, if there is anything to draw, sweep.png; return their paths."""
    with atomic_writer(folder / "sweep.csv", "w") as stream:
        sweep_frame(points).to_csv(stream, index=False, lineterminator="\n")
    scored = [(point.values, None if point.failure else point.summary) for point in points]
    if not any(summary for _, summary in scored):
        return [folder / "sweep.csv"]
    with atomic_writer(folder / "sweep.png") as stream:
        stream.write(verbatim(png)(sweep_figure(scored)))
    return [folder / "sweep.csv", folder / "sweep.png"]


def sweep_frame(points: Sequence[SweptPoint]) -> pd.DataFrame:
    """Return a row a point and seed: the swept keys, the seed, the figures of `RunSummary.per_seed`, the failure.

    A seed that is not finished has no figures; accuracies are fractions, log_loss is in nats.
    """
    metrics = next((point.summary.per_seed.columns.tolist() for point in points if point.summary), [])
    rows = []
    for point in points:
        finished: dict[Any, Any] = point.summary.per_seed.to_dict("index") if point.summary else {}
        for seed in point.experiment.seeds:
            failure = "" if seed in finished else point.failure
            rows.append({**point.values, "seed": seed, **finished.get(seed, {}), "failure": failure})
    return pd.DataFrame(rows, columns=[*points[0].values, "seed", *metrics, "failure"])


def _typed(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
