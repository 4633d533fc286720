"""One self-contained HTML page about one or more runs: no network, no script, no other file."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, cast

import jinja2

import asc_mrkd
from asc_mrkd.config import StoreConfig
from asc_mrkd.config.domain import SCENES
from asc_mrkd.datasets.images import ImageSet, open_images
from asc_mrkd.errors import DataError, RunError, StoreError, list_of
from asc_mrkd.evaluation import RunSummary, compare_summaries, conclusions, evaluate
from asc_mrkd.files import make_place, write_text
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.report.clips import ClassClips, class_clips, data_address
from asc_mrkd.report.columns import report_columns
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
from asc_mrkd.report.tables import TextTable, breakdown_table, confused_pairs_table, seed_table, worst_shown
from asc_mrkd.runs import RunFolder
from asc_mrkd.schema import flatten
from asc_mrkd.store.layout import FeatureStore, open_store
from asc_mrkd.store.selection import known_test_clips
from asc_mrkd.texts import read_json


@dataclass(frozen=True)
class Examples:
    """A picture of the data that the runs were trained on."""

    heading: str
    """Heading of its section."""
    caption: str
    """Text below the picture."""
    open: Callable[[Path], Any]
    """From the folder of the data to the feature store or the image set."""
    draw: Callable[[Any], bytes]
    """From the feature store or the image set to the picture as PNG."""


EXAMPLES = {
    "scenes": Examples(
        heading="Features",
        caption="One clip of every class, first channel, as the network sees it before normalisation.",
        open=open_store,
        draw=spectrograms_png,
    ),
    "images": Examples(
        heading="Images",
        caption=f"The first test image of every class, or of {MAX_EXAMPLES} classes where there are more.",
        open=open_images,
        draw=images_png,
    ),
}
"""Pictures of the data by the name of their domain."""


@dataclass(frozen=True)
class RunSection:
    """The section of the page about one run."""

    summary: RunSummary
    """Scores of the run."""
    seeds: TextTable
    """Figures of every seed."""
    caution: str
    """Sentence on test clips that are training clips; empty if there are none, or the data are not at hand."""
    confusion: str
    """Confusion matrix, a picture as a data: address."""
    has_counts: bool
    """Whether the confusion matrix shows numbers."""
    confused_pairs: TextTable
    """Most confused pairs of classes."""
    breakdowns: list[TextTable]
    """Tables by class and by group; long ones are cut down to the worst groups."""
    complete: list[TextTable]
    """The tables that were cut down, in full."""
    environment: TextTable | None
    """Versions and hardware; None for a run without environment.json."""
    clips: list[ClassClips]
    """Clips of the classes to look at and to hear; none for images, and without the store."""
    teachers: str | None
    """Figures of the teachers, a picture as a data: address; None for a method without teachers."""


def write_report(
    runs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    recordings: str | os.PathLike[str] | None = None,
    progress: Progress = no_progress,
) -> list[RunSummary]:
    """Write one HTML page that compares runs, with curves, confusion matrices, settings and clips to see and hear.

        write_report(["exp/ce", "exp/mrkd"], "exp/report.html")

    Args:
        runs: one or more run folders.
        out: the page to write.
        data: feature store or image set of the runs, where it has moved; None takes that of each run, if it is still
            where the run names it, and warns if it is damaged. Data that a run was not trained on are not shown for it,
            with a warning.
        recordings: folder of the recordings, for the sound of the most certain and the most confused clips; None takes
            that of own recordings, if it is still where the store names it, and shows other clips without sound.
        progress: counts the scored runs, the sections about them, and the page.

    Returns:
        The scores of the runs, in the same order.

    Raises:
        RunError: no run is given, or a run folder is missing, unfinished or damaged.
        ConfigError: `runs` is a single path.
        StoreError, DataError: the data are not a finished feature store or an image set, or no clip is among the
            recordings that are given.
        OSError: the page cannot be written.
    """
    runs = list_of(runs, "runs")
    if not runs:
        raise RunError("there is no run to report on", "name one or more run folders")
    summaries = []
    sections = []
    with progress("report", 2 * len(runs) + 1, "parts") as advance:
        for run in runs:
            summaries.append(evaluate(run))
            advance()
        make_place(out)  # a page that cannot be written is refused before the pictures are drawn
        for summary in summaries:
            sections.append(_run_section(summary, data, recordings))
            advance()
        write_text(out, _page(summaries, sections, data))
        advance()
    return summaries


def _page(summaries: Sequence[RunSummary], sections: Sequence[RunSection], data: str | os.PathLike[str] | None) -> str:
    """Return the page as HTML."""
    rows = compare_summaries(summaries)
    domain = summaries[0].domain
    examples = EXAMPLES[domain.name]
    shown = data_to_show(summaries[0], data)
    template = resources.files("asc_mrkd.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    jinja = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return jinja.from_string(template).render(
        version=asc_mrkd.__version__,
        title=", ".join(dict.fromkeys(summary.method for summary in summaries)),
        comparison=comparison_table(rows),
        conclusions=conclusions(rows),
        legend=report_columns(domain).legend,
        scored=summaries[0].scored,
        curves=_data_address(learning_curves_png(summaries)),
        settings=settings_tables(summaries),
        sections=sections,
        examples=examples,
        example_picture=None if shown is None else _data_address(examples.draw(shown)),
    )


def data_to_show(summary: RunSummary, data: str | os.PathLike[str] | None) -> FeatureStore | ImageSet | None:
    """Open the data of a run, at the place that is given or where the run names them.

    Return None, with a warning, if other data are there; without a place also if they are gone or damaged.

    Raises:
        StoreError, DataError: the data that are given are not a finished feature store or an image set.
    """
    section = summary.experiment.data
    folder = section.folder if data is None else Path(data)
    if data is None and not folder.exists():
        return None
    try:
        opened = EXAMPLES[summary.domain.name].open(folder)
        fault = None if _is_trained_on(summary, opened) else f"{folder} holds other data than it was trained on"
    except (StoreError, DataError) as error:
        if data is not None:
            raise
        fault = str(error)
    if fault is not None:
        warnings.warn(f"the page shows no data of {summary.folder}: {fault}", stacklevel=1)  # said once
        return None
    return opened


def _is_trained_on(summary: RunSummary, opened: FeatureStore | ImageSet) -> bool:
    """Return whether a run was trained on these data, as far as its digest tells."""
    section = summary.experiment.data
    is_part = getattr(section, "train_list", None) is not None  # then the digest is that of the list, too
    return is_part or section.digest in (None, opened.digest)


def settings_tables(summaries: Sequence[RunSummary]) -> list[TextTable]:
    """Tabulate the settings: those that differ with a column per run, then those that all runs share."""
    settings = [_text_settings(summary.experiment.model_dump()) for summary in summaries]
    keys = dict.fromkeys(chain(*settings))
    rows = [[key, *(one.get(key, "") for one in settings)] for key in keys]
    runs = [f"{summary.method} (run {number})" for number, summary in enumerate(summaries, start=1)]
    different = [row for row in rows if len(set(row[1:])) > 1]
    shared = [row[:2] for row in rows if len(set(row[1:])) == 1]
    tables = [
        TextTable("Settings that differ", ("Setting", *runs), different, text_columns=frozenset(range(len(runs) + 1))),
        TextTable("Settings in common", ("Setting", "Value"), shared, text_columns=frozenset({0, 1})),
    ]
    return [table for table in tables if table.rows]


def _run_section(
    summary: RunSummary, data: str | os.PathLike[str] | None, recordings: str | os.PathLike[str] | None
) -> RunSection:
    store = _open_store(summary, data)
    groups = [column for column in shown_groups(summary) if column == "label" or len(summary.by(column)) > 1]
    short = [breakdown_table(summary, column, worst_shown(summary, column)) for column in groups]
    full = [breakdown_table(summary, column) for column in groups]
    return RunSection(
        summary=summary,
        seeds=seed_table(summary),
        caution="" if store is None else _caution(summary, store),
        confusion=_data_address(confusion_matrix_png(summary)),
        has_counts=has_counts(summary),
        confused_pairs=confused_pairs_table(summary),
        breakdowns=short,
        complete=[table for table in full if table not in short],
        clips=[] if store is None else class_clips(summary, store, None if recordings is None else Path(recordings)),
        environment=_environment_table(RunFolder(summary.folder).environment_file),
        teachers=_data_address(teachers_png(summary)) if has_teachers(summary) else None,
    )


def _open_store(summary: RunSummary, data: str | os.PathLike[str] | None) -> FeatureStore | None:
    """Open the feature store of a run as `data_to_show` does; None also for images."""
    if summary.domain is not SCENES:
        return None
    return cast(FeatureStore | None, data_to_show(summary, data))


def _caution(summary: RunSummary, store: FeatureStore) -> str:
    try:
        return known_test_clips(store, cast(StoreConfig, summary.experiment.data))
    except DataError as error:  # the list of training clips has gone
        warnings.warn(f"test clips of {summary.folder} that are training clips are not named: {error}", stacklevel=1)
        return ""


def _environment_table(path: Path) -> TextTable | None:
    if not path.exists():
        return None
    hint = "delete it: the report does without it"
    values = read_json(path, RunError, hint)
    if not isinstance(values, dict):
        raise RunError(f"{path} holds no mapping of names to values", hint)
    return TextTable(
        "Environment", ("Item", "Value"), list(_text_settings(values).items()), text_columns=frozenset({0, 1})
    )


def _text_settings(values: dict[str, Any]) -> dict[str, str]:
    """Return a nested mapping as dotted keys with text values, without empty sections."""
    return {key: str(value) for key, value in flatten(values).items() if value != {}}


def _data_address(png: bytes) -> str:
    return data_address("image/png", png)
