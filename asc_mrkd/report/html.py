"""One HTML page about one or more runs that needs nothing beside it: no network, no script, no other file."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2

import asc_mrkd
from asc_mrkd.datasets.images import open_images
from asc_mrkd.errors import RunError
from asc_mrkd.evaluation import RunSummary, compare, conclusions, summarise_run
from asc_mrkd.files import write_text
from asc_mrkd.report.columns import layout_of
from asc_mrkd.report.comparisons import comparison_table
from asc_mrkd.report.plots import (
    MAX_EXAMPLES,
    confusion_matrix_png,
    has_counts,
    has_teachers,
    images_png,
    learning_curves_png,
    spectrograms_png,
    teachers_png,
)
from asc_mrkd.report.records import shown_groups
from asc_mrkd.report.tables import TextTable, breakdown_table, confused_pairs_table, seed_table
from asc_mrkd.runs import RunFolder
from asc_mrkd.schema import flatten
from asc_mrkd.store.layout import open_store


@dataclass(frozen=True)
class Examples:
    """A picture of the data that the runs were trained on."""

    heading: str
    caption: str
    draw: Callable[[Path], bytes]


EXAMPLES = {
    "scenes": Examples(
        heading="Features",
        caption="One clip of every class, first channel, as the network sees it before normalisation.",
        draw=lambda folder: spectrograms_png(open_store(folder)),
    ),
    "images": Examples(
        heading="Images",
        caption=f"The first test image of every class, or of {MAX_EXAMPLES} classes where there are more.",
        draw=lambda folder: images_png(open_images(folder)),
    ),
}
"""By the kind of the runs."""


@dataclass(frozen=True)
class RunSection:
    """What the page shows about one run; `confusion` is a picture as a data: address."""

    summary: RunSummary
    seeds: TextTable
    confusion: str
    has_counts: bool
    confused_pairs: TextTable
    breakdowns: list[TextTable]
    complete: list[TextTable]
    """Those breakdowns in full of which `breakdowns` has only the worst."""
    environment: TextTable | None
    teachers: str | None
    """A picture as a data: address, of runs with teachers that are logged."""


def write_report(runs: Sequence[Path], out: Path, data: Path | None = None) -> list[RunSummary]:
    """Write the page about `runs` to `out` and return their summaries.

    With `data`, the feature store or the image set of the first run, the page shows an example of every class.

    Raises:
        RunError: a run folder is missing, unfinished or damaged.
        StoreError, DataError: `data` is not a finished feature store, not an image set.
    """
    summaries = [summarise_run(run) for run in runs]
    examples = EXAMPLES[summaries[0].kind.name]
    template = resources.files("asc_mrkd.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    jinja = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    page = jinja.from_string(template).render(
        version=asc_mrkd.__version__,
        title=", ".join(dict.fromkeys(summary.method for summary in summaries)),
        comparison=comparison_table(summaries),
        conclusions=conclusions(compare(summaries)),
        legend=layout_of(summaries[0]).legend,
        scored=summaries[0].scored,
        curves=_data_address(learning_curves_png(summaries)),
        settings=settings_tables(summaries),
        sections=[_section(summary) for summary in summaries],
        examples=examples,
        example_picture=_data_address(examples.draw(data)) if data else None,
    )
    write_text(out, page)
    return summaries


def settings_tables(summaries: Sequence[RunSummary]) -> list[TextTable]:
    """Tabulate the settings: those that differ with a column per run, then those that all runs share."""
    settings = [_settings(summary.experiment.model_dump()) for summary in summaries]
    rows = [[key, *(one.get(key, "") for one in settings)] for key in dict.fromkeys(chain(*settings))]
    runs = [f"{summary.method} (run {number})" for number, summary in enumerate(summaries, start=1)]
    different = [row for row in rows if len(set(row[1:])) > 1]
    shared = [row[:2] for row in rows if len(set(row[1:])) == 1]
    tables = [
        TextTable("Settings that differ", ("Setting", *runs), different, text_columns=frozenset(range(len(runs) + 1))),
        TextTable("Settings in common", ("Setting", "Value"), shared, text_columns=frozenset({0, 1})),
    ]
    return [table for table in tables if table.rows]


def _section(summary: RunSummary) -> RunSection:
    short = [breakdown_table(summary, column, layout_of(summary).worst) for column in shown_groups(summary)]
    full = [breakdown_table(summary, column) for column in shown_groups(summary)]
    return RunSection(
        summary=summary,
        seeds=seed_table(summary),
        confusion=_data_address(confusion_matrix_png(summary)),
        has_counts=has_counts(summary),
        confused_pairs=confused_pairs_table(summary),
        breakdowns=short,
        complete=[table for table in full if table not in short],
        environment=_environment_table(RunFolder(summary.folder).environment_file),
        teachers=_data_address(teachers_png(summary)) if has_teachers(summary) else None,
    )


def _environment_table(path: Path) -> TextTable | None:
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}", "delete it: the report does without it") from None
    return TextTable("Environment", ("What", "Value"), list(_settings(values).items()), text_columns=frozenset({0, 1}))


def _settings(values: dict[str, Any]) -> dict[str, str]:
    """Write a nested mapping as dotted keys with text values, without empty sections."""
    return {key: str(value) for key, value in flatten(values).items() if value != {}}


def _data_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
