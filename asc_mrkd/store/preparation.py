"""Own recordings before their extraction: a front end and a length that fit them, and the pieces that it takes."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

import yaml

from asc_mrkd.audio.read import Shape
from asc_mrkd.datasets.check import examine_recordings
from asc_mrkd.datasets.pieces import Cutting, choose_seconds, cut_recordings, measure_clips
from asc_mrkd.datasets.recordings import Dataset, Reading
from asc_mrkd.errors import DataError
from asc_mrkd.features.spec import DEFAULT_SPEC, FrontendSpec, fit_spec, load_spec
from asc_mrkd.files import write_if_different
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.store.origin import ORIGIN

MONO_SPEC = "pmel256_mono"
"""Front end of own recordings if most of them are mono."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a disk or a folder that may only be read."""


@dataclass(frozen=True)
class Prepared:
    """A data set whose clips fit a front end."""

    dataset: Dataset
    """The clips, cut into pieces where they were longer."""
    spec: FrontendSpec
    """The front end."""
    sentences: tuple[str, ...] = ()
    """The choice of the front end and the cutting, in words; empty for an official data set as it is."""


def prepare(
    dataset: Dataset,
    spec: str | os.PathLike[str] | FrontendSpec | None = None,
    cutting: Cutting | None = None,
    shapes: dict[str, Shape] | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Prepared:
    """Choose the front end, and cut own recordings, or all if a length is given, into clips of its length.

    Args:
        dataset: any data set of recordings.
        spec: front end; None takes DEFAULT_SPEC, and for own recordings one that fits their rate and channels.
        cutting: length, hop, and the treatment of short recordings.
        shapes: shapes of the recordings by their names; None reads their headers.
        workers: processes that read headers.
        progress: see `asc_mrkd.progress`.

    Raises:
        ConfigError: the front end is not valid, or does not go with the length.
        DataError: no recording can be read.
    """
    cutting = cutting or Cutting()
    if not dataset.is_own and cutting == Cutting():
        return Prepared(dataset, load_front_end(DEFAULT_SPEC if spec is None else spec))
    if shapes is None:
        shapes, findings = examine_recordings(dataset, only_headers=True, workers=workers, progress=progress)
        if not shapes:
            raise DataError(f"{dataset.root}: no recording can be read", f"{findings[0].subject}: {findings[0].detail}")
    if spec is None:
        chosen = choose_spec(list(shapes.values()), cutting.seconds or choose_seconds(measure_clips(dataset, shapes)))
    else:
        given = load_front_end(spec)
        chosen = fit_spec(given, cutting.seconds or given.clip_seconds)
    cut, sentence = cut_recordings(dataset, shapes, chosen.clip_seconds, cutting.hop, cutting.short)
    channels = {1: "mono", 2: "stereo"}.get(chosen.channels, f"{chosen.channels} channels")
    front_end = f"front end {chosen.name}: {chosen.sample_rate:,} Hz, {channels}, clips of {chosen.clip_seconds:g} s"
    return Prepared(cut, chosen, (front_end, sentence))


def load_front_end(spec: str | os.PathLike[str] | FrontendSpec) -> FrontendSpec:
    """Return a front end from its name, its file or itself."""
    return spec if isinstance(spec, FrontendSpec) else load_spec(spec)


def choose_spec(shapes: Sequence[Shape], seconds: float) -> FrontendSpec:
    """Return the front end that fits the rate and the channels of most recordings, for clips of a length (s)."""
    usual_channels = mode(shape.channels for shape in shapes)
    fitting = load_spec(MONO_SPEC if usual_channels == 1 else DEFAULT_SPEC)
    return fit_spec(fitting, seconds, mode(shape.sample_rate for shape in shapes))


def write_origin(folder: Path, data: Any, prepared: Prepared, reading: Reading) -> None:
    """Write into a store where its clips come from; one that may only be read keeps what it says."""
    dataset = prepared.dataset
    values = {
        "data": str(data) if isinstance(data, str | os.PathLike) else "a table in memory",
        "recordings": os.path.abspath(dataset.root),  # a report may be written from another folder
        "layout": dataset.layout,
        "split_seed": reading.split_seed,
        "columns": dataset.understood[0] if dataset.is_own else "",
        "groups": dataset.understood[1] if dataset.is_own else "",
        "splits": dataset.understood[2] if dataset.is_own else "",
        "done": list(prepared.sentences),
    }
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    try:
        write_if_different(folder / ORIGIN, text)
    except OSError as error:
        if error.errno not in READ_ONLY or not (folder / ORIGIN).exists():
            raise
