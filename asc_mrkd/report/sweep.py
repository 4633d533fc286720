"""All points of a sweep: a table, records, a CSV file, and a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asc_mrkd.config import Experiment
from asc_mrkd.evaluation import RunSummary, evaluate
from asc_mrkd.files import atomic_writer
from asc_mrkd.mrkd import Interval
from asc_mrkd.report.columns import report_columns
from asc_mrkd.report.plots import PALETTE, Picture, add_legend, png, verbatim
from asc_mrkd.report.records import headline_record
from asc_mrkd.report.tables import TextTable
from asc_mrkd.runs import RunFolder
from asc_mrkd.texts import parse_yaml

if TYPE_CHECKING:
    from asc_mrkd.engine.sweeps import Sweep

LOG_SPAN = 10
"""Ratio of the largest to the smallest number above which an axis of positive numbers is logarithmic."""

MARKERS = "os^Dv"
"""Markers of the lines; the next one is taken when all colours are used."""

CHARACTER = 0.014
"""Width of a character of a tick label, as a share of the axis."""

INTERVAL_KEY = "method.interval"
"""Key with its own unit: steps, a share of the run, or epochs."""

Scored = tuple[dict[str, str], RunSummary | None]
"""Swept keys with their values, and the scores of that point; None if the point failed."""


@dataclass(frozen=True)
class Scale:
    """Positions of the values of a key on the x axis."""

    places: dict[str, float]
    """Position of every value: its number, or 0, 1, 2, ... for words."""
    labels: dict[str, str]
    """Tick label of every value."""
    unit: str = ""
    """Unit of the numbers, which the labels leave out; may be empty."""
    words: bool = False
    """Whether the values are words, so that distances have no meaning."""

    @property
    def logarithmic(self) -> bool:
        """Whether the numbers span more than a factor of LOG_SPAN."""
        low = min(self.places.values())
        high = max(self.places.values())
        return not self.words and low > 0 and high > LOG_SPAN * low


def axis_scale(key: str, values: Sequence[str]) -> Scale:
    """Return the axis of a key: numbers if all values are numbers with one unit, else words in their order.

    >>> axis_scale("method.interval", ["1 epoch", "25 epochs"]).places
    {'1 epoch': 1.0, '25 epochs': 25.0}
    >>> axis_scale("method.interval", ["9775", "0.125"]).places  # steps, and a share of the run
    {'9775': 0.0, '0.125': 1.0}
    """
    distinct = list(dict.fromkeys(values))
    try:
        amounts = [_parse_amount(key, value) for value in distinct]
    except ValueError:
        amounts = []
    units = {unit for _, unit in amounts}
    if len(units) != 1:
        places = {value: float(index) for index, value in enumerate(distinct)}
        return Scale(places, {value: value for value in distinct}, words=True)
    numbers = [number for number, _ in amounts]
    if units == {"epochs"}:
        labels = [f"{number:g}" for number in numbers]
        return Scale(dict(zip(distinct, numbers, strict=True)), dict(zip(distinct, labels, strict=True)), "epochs")
    return Scale(dict(zip(distinct, numbers, strict=True)), {value: value for value in distinct})


def _parse_amount(key: str, value: str) -> tuple[float, str]:
    """Return the number and the unit of a value as typed.

    Raises:
        ValueError: the value is not a finite number.
    """
    if key == INTERVAL_KEY:
        interval = Interval.parse(parse_yaml(value))
        return interval.amount, interval.unit
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number, ""


@verbatim
def sweep_figure(scored: Sequence[Scored]) -> Figure:
    """Draw the scores against the first key: means over the seeds, error bars of one standard deviation.

    Every combination of the other keys is a separate line. A line is broken at a point that failed.
    """
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.subplots()
    key = next(iter(scored[0][0]))
    scale = axis_scale(key, [values[key] for values, _ in scored])
    lines: dict[str, list[tuple[float, RunSummary | None]]] = {}
    for values, summary in scored:
        others = ", ".join(f"{name}={value}" for name, value in values.items() if name != key)
        lines.setdefault(others, []).append((scale.places[values[key]], summary))
    for index, (label, line) in enumerate(lines.items()):
        # Error bars at the same word would hide each other.
        shift = 0.5 * (index - (len(lines) - 1) / 2) / len(lines) if scale.words else 0.0
        ordered = sorted(line, key=lambda one: one[0])
        _draw_line(axes, [(place + shift, summary) for place, summary in ordered], index, label, scale)
    _style_axes(axes, key, scale)
    summary = next(summary for _, summary in scored if summary)
    axes.set_ylabel(f"{summary.domain.headline} on {summary.scored} (%)")
    axes.set_title("Mean and standard deviation over the seeds, last epoch", loc="left", fontsize=11)
    if len(lines) > 1:
        add_legend(figure, axes)
    return figure


def _draw_line(
    axes: Axes, line: Sequence[tuple[float, RunSummary | None]], index: int, label: str, scale: Scale
) -> None:
    means = []
    below = []
    above = []
    for _, summary in line:
        mean = deviation = math.nan
        if summary:
            spread = summary.spread("accuracy")
            mean = 100 * summary.domain.headline_value(spread.mean)
            if spread.std is not None:
                deviation = 100 * spread.std
        means.append(mean)
        below.append(min(deviation, mean))  # no bar leaves 0 to 100 %
        above.append(min(deviation, 100 - mean))
    axes.errorbar(
        [place for place, _ in line],
        means,
        [below, above],
        color=PALETTE[index % len(PALETTE)],
        marker=MARKERS[index // len(PALETTE) % len(MARKERS)],
        linestyle="none" if scale.words else "-",
        linewidth=1.8,
        elinewidth=1.2,
        capsize=4,
        label=label,
    )


def _style_axes(axes: Axes, key: str, scale: Scale) -> None:
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
    rotated: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if narrow else {}
    axes.set_xticks([scale.places[value] for value in ordered], labels, **rotated)
    axes.minorticks_off()
    if scale.words:
        axes.set_xlim(-0.5, len(ordered) - 0.5)


TABLE_METRICS = ("accuracy", "log_loss")
"""Figures of the table; the CSV file has all."""


@dataclass(frozen=True)
class SweptPoint:
    """One point of a sweep."""

    values: dict[str, str]
    """Swept keys and their values at this point."""
    experiment: Experiment
    """The trained experiment, with the seeds of the sweep."""
    summary: RunSummary | None
    """Scores of the seeds that are finished; None if none is."""
    failure: str = ""
    """Reason why training stopped before the end; empty if it did not."""


def read_point(
    values: dict[str, str], folder: Path, experiment: Experiment, seeds: Sequence[int], failure: str = ""
) -> SweptPoint:
    """Score the given seeds of a point, so that all points have the same.

    Other seeds in its folder are in no figure by seed; the tables by clip of the summary average over them too.
    """
    experiment = experiment.model_copy(update={"seeds": list(seeds)})
    if not set(seeds) & set(RunFolder(folder).finished_seeds()):
        return SweptPoint(values, experiment, None, failure)
    summary = evaluate(folder)
    finished = [seed for seed in seeds if seed in summary.per_seed.index]
    summary = replace(summary, experiment=experiment, per_seed=summary.per_seed.loc[finished])
    return SweptPoint(values, experiment, summary, failure)


def read_points(sweep: "Sweep") -> list[SweptPoint]:
    """Score the points of a sweep, each over the seeds of the sweep."""
    return [read_point(one.values, one.run.path, one.experiment, sweep.seeds, one.failure) for one in sweep]


def sweep_table(points: Sequence[SweptPoint]) -> TextTable:
    """Tabulate the points in their order: mean ± standard deviation over the seeds, after the last epoch."""
    layout = report_columns(points[0].experiment.domain)
    keys = list(points[0].values)
    columns = [column for column in layout.seeds if column.metric in TABLE_METRICS]
    rows = []
    notes = []
    for point in points:
        seeds = len(point.summary.seeds) if point.summary else 0
        if point.failure or point.summary is None:  # a mean over the seeds that did not diverge would be too good
            figures = ["failed", *[""] * (len(columns) - 1)]
        else:
            figures = [column.write(point.summary.spread(column.metric)) for column in columns]
        rows.append([*point.values.values(), str(seeds), *figures])
        if point.failure:
            notes.append(f"failed: {_as_typed(point.values)}: {point.failure}")
    scored = next((point.summary.scored for point in points if point.summary), None)
    if scored:
        notes.append(f"Scored: {scored}.")
    return TextTable(
        title=layout.title,
        columns=(*keys, "Seeds", *(column.heading for column in columns)),
        rows=rows,
        text_columns=frozenset(range(len(keys))),
        notes=notes,
    )


def sweep_records(points: Sequence[SweptPoint]) -> list[dict[str, Any]]:
    """Return a record per point for `--json`."""
    records = []
    for point in points:
        scores = headline_record(point.summary) if point.summary else None
        records.append({"values": point.values, "failure": point.failure, "scores": scores})
    return records


def write_sweep(folder: Path, points: Sequence[SweptPoint]) -> list[Path]:
    """Write sweep.csv and, if there is anything to draw, sweep.png; return their paths."""
    with atomic_writer(folder / "sweep.csv", "w") as stream:
        sweep_frame(points).to_csv(stream, index=False, lineterminator="\n")
    picture = draw_points(points)
    if picture is None:
        return [folder / "sweep.csv"]
    with atomic_writer(folder / "sweep.png") as stream:
        stream.write(picture)
    return [folder / "sweep.csv", folder / "sweep.png"]


def draw_points(points: Sequence[SweptPoint]) -> Picture | None:
    """Return `sweep_figure` as PNG; None if no point has a score."""
    scored = [(point.values, None if point.failure else point.summary) for point in points]
    if not any(summary for _, summary in scored):
        return None
    return verbatim(png)(sweep_figure(scored))


def sweep_frame(points: Sequence[SweptPoint]) -> pd.DataFrame:
    """Return one row per point and seed: the swept keys, the seed, the figures of `RunSummary.per_seed`, the failure.

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


def _as_typed(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
