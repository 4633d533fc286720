"""The points of a sweep beside each other: a table, a CSV file, and a picture like Figures 7 to 9 of the paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from asc_mrkd.evaluation import RunSummary
from asc_mrkd.files import atomic_writer
from asc_mrkd.report.comparisons import run_table
from asc_mrkd.report.layout import layout_of
from asc_mrkd.report.plots import PALETTE, png, verbatim
from asc_mrkd.report.records import headline
from asc_mrkd.report.text_table import TextTable

LOG_SPAN = 10
"""Positive values whose largest is more than so many times the smallest get a logarithmic axis."""


Scored = tuple[dict[str, str], RunSummary]
"""The swept keys with their values, and the scores there."""


@dataclass(frozen=True)
class SweptPoint:
    """One point of a sweep.

    Attributes:
        values: the swept keys and what they are here, as typed.
        summary: its scores; None if no seed has been finished.
        failure: why it could not be trained to the end; empty if it was.
    """

    values: dict[str, str]
    summary: RunSummary | None
    failure: str = ""


def sweep_table(points: Sequence[SweptPoint]) -> TextTable:
    """Tabulate the points in their order: mean ± standard deviation over the seeds, after the last epoch."""
    scored, keys = _scored(points), list(points[0].values)
    nothing = TextTable("Nothing finished", ("#", "Method", "Seeds"), [])
    runs = run_table([summary for _, summary in scored]) if scored else nothing
    cells = iter(runs.rows)
    unknown = ["0", *[""] * (len(runs.columns) - 3)]
    return TextTable(
        title=runs.title,
        columns=(*keys, *runs.columns[2:]),
        rows=[[*point.values.values(), *(next(cells)[2:] if point.summary else unknown)] for point in points],
        text_columns=frozenset(range(len(keys))),
        notes=[f"failed at {_typed(point.values)}: {point.failure}" for point in points if point.failure],
    )


def sweep_records(points: Sequence[SweptPoint]) -> list[dict[str, Any]]:
    """Return a record per point for `--json`."""
    return [
        {"values": point.values, "failure": point.failure, "scores": point.summary and headline(point.summary)}
        for point in points
    ]


def write_sweep(folder: Path, points: Sequence[SweptPoint]) -> None:
    """Write sweep.csv, a row a point and seed, and sweep.png into the folder of a sweep, of what has been finished."""
    scored = _scored(points)
    if not scored:
        return
    with atomic_writer(folder / "sweep.csv", "w") as stream:
        sweep_frame(scored).to_csv(stream, index=False, lineterminator="\n")
    with atomic_writer(folder / "sweep.png") as stream:
        stream.write(png(sweep_figure(scored)))


def sweep_frame(scored: Sequence[Scored]) -> pd.DataFrame:
    """Return a row a point and seed: the swept keys as typed, the seed, and the figures of `RunSummary.per_seed`."""
    keys = list(scored[0][0])
    frames = [summary.per_seed.rename_axis("seed").reset_index().assign(**values) for values, summary in scored]
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*keys, *(column for column in frame.columns if column not in keys)]]


@verbatim
def sweep_figure(scored: Sequence[Scored]) -> Figure:
    """Draw accuracy or error over the first key, with error bars of a standard deviation; the others name the lines."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes, layout = figure.subplots(), layout_of(scored[0][1])
    key, *others = scored[0][0]
    places = _places(key, [values[key] for values, _ in scored])
    lines: dict[str, list[Scored]] = {}
    for values, summary in sorted(scored, key=lambda one: places[one[0][key]]):
        lines.setdefault(_typed({name: values[name] for name in others}), []).append((values, summary))
    for index, (line, ones) in enumerate(lines.items()):
        spreads = [summary.spread("accuracy") for _, summary in ones]
        axes.errorbar(
            [places[values[key]] for values, _ in ones],
            [100 * (spread.mean if layout.direction > 0 else 1 - spread.mean) for spread in spreads],
            [100 * (spread.std or 0.0) for spread in spreads],
            color=PALETTE[index % len(PALETTE)], marker="o", capsize=4, linewidth=1.8, label=line,
        )  # fmt: skip
    _dress(axes, key, places, f"{layout.comparison[0].heading} of {scored[0][1].scored}")
    if others:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _dress(axes: Any, key: str, places: dict[str, float], heading: str) -> None:
    axes.set_xlabel(key)
    axes.set_ylabel(heading)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if min(places.values()) > 0 and max(places.values()) > LOG_SPAN * min(places.values()):
        axes.set_xscale("log")
    axes.set_xticks(list(places.values()), list(places))
    axes.minorticks_off()


def _places(key: str, values: Sequence[str]) -> dict[str, float]:
    """Return where every value stands on the axis: at its number, or one after the other where they are no numbers.

    Intervals in steps and those in shares of the run are numbers of different kinds.
    """
    distinct = list(dict.fromkeys(values))
    try:
        numbers = {value: float(value) for value in distinct}
    except ValueError:
        numbers = {}
    in_steps = {value.isdigit() for value in distinct}
    if not numbers or (key.endswith("interval") and len(in_steps) > 1):
        return {value: float(index) for index, value in enumerate(distinct)}
    return numbers


def _scored(points: Sequence[SweptPoint]) -> list[Scored]:
    return [(point.values, point.summary) for point in points if point.summary]


def _typed(values: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
