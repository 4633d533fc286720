"""The points of a sweep beside each other: a table, records, a CSV file, and a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asc_mrkd.config import Experiment
from asc_mrkd.config.domain import kind_of
from asc_mrkd.evaluation import RunSummary, summarise_run
from asc_mrkd.files import atomic_writer
from asc_mrkd.report.columns import LAYOUTS, layout_of
from asc_mrkd.report.plots import PALETTE, png, verbatim
from asc_mrkd.report.records import headline
from asc_mrkd.report.tables import TextTable
from asc_mrkd.runs import RunFolder

LOG_SPAN = 10
"""Positive numbers whose largest is more than so many times the smallest get a logarithmic axis."""

MARKERS = "os^Dv"
"""One after the other where there are more lines than colours."""

CHARACTER = 0.014
"""Width of a character of a tick label, as a share of the axis."""

LEGEND_WIDTH = 96
"""Characters that have room in a row of the legend; a marker takes 8 of them."""

Scored = tuple[dict[str, str], RunSummary | None]
"""The swept keys with their values, and the scores there; None where the point has failed."""


@dataclass(frozen=True)
class Scale:
    """Where the values of a key stand on the axis.

    Attributes:
        places: a place a value: its number, or for words 0, 1, 2, ...
        labels: what is written there.
        unit: unit of the numbers that the labels leave out; may be empty.
        words: whether the distances mean nothing.
    """

    places: dict[str, float]
    labels: dict[str, str]
    unit: str = ""
    words: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether the values span so much that only their ratios can be seen."""
        low, high = min(self.places.values()), max(self.places.values())
        return not self.words and low > 0 and high > LOG_SPAN * low


def scale_of(key: str, values: Sequence[str]) -> Scale:
    """Return the axis of a key: of numbers where all values are numbers of one kind, else of words in their order.

    >>> scale_of("method.interval", ["1 epoch", "25 epochs"]).places
    {'1 epoch': 1.0, '25 epochs': 25.0}
    >>> scale_of("method.interval", ["9775", "0.125"]).places  # steps, and a share of the run
    {'9775': 0.0, '0.125': 1.0}
    """
    distinct = list(dict.fromkeys(values))
    parts = {value: value.removesuffix("s").removesuffix(" epoch") for value in distinct}
    epochs = {parts[value] != value for value in distinct}
    steps = {value.isdigit() for value in distinct if key == "method.interval"}
    try:
        places = {value: float(part) for value, part in parts.items()}
    except ValueError:
        places = {}
    if not places or len(epochs) > 1 or len(steps) > 1 or not all(map(math.isfinite, places.values())):
        places = {value: float(index) for index, value in enumerate(distinct)}
        return Scale(places, {value: value for value in distinct}, words=True)
    return Scale(places, parts, "epochs" if True in epochs else "")


@verbatim
def sweep_figure(scored: Sequence[Scored]) -> Figure:
    """Draw a line over the first key: means over the seeds, with error bars of one standard deviation.

    Every combination of the other keys has a line of its own. A line is broken where a point has failed.
    """
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes, key = figure.subplots(), next(iter(scored[0][0]))
    scale = scale_of(key, [values[key] for values, _ in scored])
    lines: dict[str, list[tuple[float, RunSummary | None]]] = {}
    for values, summary in scored:
        others = ", ".join(f"{name}={value}" for name, value in values.items() if name != key)
        lines.setdefault(others, []).append((scale.places[values[key]], summary))
    for index, (label, line) in enumerate(lines.items()):
        # Error bars over words would hide each other.
        aside = 0.5 * (index - (len(lines) - 1) / 2) / len(lines) if scale.words else 0.0
        ordered = sorted(line, key=lambda one: one[0])
        _draw(axes, [(place + aside, summary) for place, summary in ordered], index, label, scale)
    _dress(axes, key, scale)
    summary = next(summary for _, summary in scored if summary)
    heading = layout_of(summary).comparison[0].heading.removesuffix(" %")
    axes.set_ylabel(f"{heading.lower()} on {summary.scored} (%)")
    axes.set_title("Mean and standard deviation over the seeds, last epoch", loc="left", fontsize=11)
    if len(lines) > 1:
        columns = max(1, LEGEND_WIDTH // (max(map(len, lines)) + 8))
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _draw(axes: Axes, line: Sequence[tuple[float, RunSummary | None]], index: int, label: str, scale: Scale) -> None:
    means, deviations = [], []
    for _, summary in line:
        spread = summary.spread("accuracy") if summary else None
        rises = summary is not None and layout_of(summary).direction > 0
        means.append(math.nan if spread is None else 100 * (spread.mean if rises else 1 - spread.mean))
        deviations.append(math.nan if spread is None or spread.std is None else 100 * spread.std)
    axes.errorbar(
        [place for place, _ in line],
        means,
        deviations,
        color=PALETTE[index % len(PALETTE)],
        marker=MARKERS[index // len(PALETTE) % len(MARKERS)],
        linestyle="none" if scale.words else "-",
        linewidth=1.8,
        elinewidth=1.2,
        capsize=4,
        label=label,
    )


def _dress(axes: Axes, key: str, scale: Scale) -> None:
    axes.set_xlabel(f"{key} ({scale.unit})" if scale.unit else key)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if scale.logarithmic:
        axes.set_xscale("log")
    ordered = sorted(scale.places, key=scale.places.__getitem__)
    labels = [scale.labels[value] for value in ordered]
    at = [math.log10(place) if scale.logarithmic else place for place in sorted(scale.places.values())]
    span = (at[-1] - at[0]) or 1.0
    narrow = any(
        (b - a) / span < CHARACTER * (len(left) + len(right) + 2) / 2
        for (a, left), (b, right) in pairwise(zip(at, labels, strict=True))
    )
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if narrow else {}
    axes.set_xticks([scale.places[value] for value in ordered], labels, **turned)
    axes.minorticks_off()
    if scale.words:
        axes.set_xlim(-0.5, len(ordered) - 0.5)


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
    if not set(seeds) & set(RunFolder(folder).finished_seeds()):
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
