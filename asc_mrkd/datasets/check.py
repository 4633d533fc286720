"""The check of recordings: every clip is read once, and the lists are compared with the folder and each other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from asc_mrkd.audio.read import REASONS, SECONDS_TOLERANCE, Shape, is_within, read_audio, read_shape
from asc_mrkd.datasets.clip_lists import is_link_outside
from asc_mrkd.datasets.findings import (
    Finding,
    Severity,
    find_absent_classes,
    find_lists_of_classes,
    find_other_kinds,
    find_similar_classes,
)
from asc_mrkd.datasets.recordings import Dataset, list_other_files, list_recordings, printable
from asc_mrkd.datasets.splits import divided_units
from asc_mrkd.datasets.tables import TABLE_SUFFIXES
from asc_mrkd.errors import AudioError
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.workers import local_pool, map_in_order

_CLIPS_PER_CHUNK = 16
"""Clips that a worker gets at a time."""


_SHAPE_CHECKS: list[tuple[str, str, str, Severity]] = [
    ("sample_rate", "wrong_rate", "Hz", "warning"),
    ("channels", "wrong_channels", "channels", "warning"),
    ("seconds", "wrong_length", "s", "error"),
]
"""Field, code, unit and severity: rate and channels are converted later, but clips of two lengths fit no batch."""


def check_recordings(
    dataset: Dataset,
    *,
    sample_rate: int | None = None,
    seconds: float | None = None,
    tolerance: float = SECONDS_TOLERANCE,
    next_seconds: float | None = None,
    workers: int = 1,
    progress: Progress = no_progress,
) -> list[Finding]:
    """Read every clip once and compare the lists with the folder and with each other.

    Args:
        dataset: from asc_mrkd.datasets.read_dataset.
        sample_rate: only accepted rate (Hz); None expects that of most clips, and another one is a warning.
        seconds: only accepted length (s); None expects that of most clips.
        tolerance: largest accepted difference from that length (s).
        next_seconds: length (s) that the next step will want; it is a warning if most clips have another one.
        workers: processes that read; each holds one clip at a time.
        progress: shows how many clips were read.

    Returns:
        Findings about clips first, then about the lists. Codes: a reason of asc_mrkd.audio.read.REASONS, or
        usual_length, extra_file, other_files, links_outside, duplicate_rows, single_clip, similar_classes,
        lists_of_classes, location_in_both_folds, class_not_in_train, class_not_in_test.
    """
    shapes, findings = examine_recordings(dataset, workers=workers, progress=progress)
    expected = {"sample_rate": sample_rate, "seconds": seconds}
    findings += compare_shapes(shapes, expected=expected, tolerance=tolerance)
    if next_seconds and shapes:
        findings += _compare_usual_length(shapes, next_seconds)
    return findings + compare_lists(dataset)


def examine_recordings(
    dataset: Dataset, *, only_headers: bool = False, workers: int = 1, progress: Progress = no_progress
) -> tuple[dict[str, Shape], list[Finding]]:
    """Read every recording once; return the shapes of the sound ones by their names, and the faults of the others.

    Args:
        dataset: from asc_mrkd.datasets.read_dataset.
        only_headers: read the headers only, which takes a moment, and leave faults behind them for later.
        workers: processes that read; each holds one recording at a time.
        progress: shows how many were read.
    """
    findings: list[Finding] = []
    shapes: dict[str, Shape] = {}
    names = dataset.files
    examine = partial(_examine_recordings, dataset.root, only_headers)
    crashed = partial(Finding, "crashed", detail=REASONS["crashed"], severity="error")
    chunks = (names[start : start + _CLIPS_PER_CHUNK] for start in range(0, len(names), _CLIPS_PER_CHUNK))
    with progress("reading", len(names), "clips") as advance:
        for name, result in zip(names, map_in_order(local_pool(workers), examine, chunks, crashed), strict=True):
            if isinstance(result, Finding):
                findings.append(result)
            else:
                shapes[name] = result
            advance()
    return shapes, findings


def _examine_recordings(root: Path, only_headers: bool, names: Sequence[str]) -> list[Shape | Finding]:
    return [_examine_recording(root, only_headers, name) for name in names]


def _examine_recording(root: Path, only_headers: bool, name: str) -> Shape | Finding:
    """Read a recording and return its shape, or the reason why it cannot be used."""
    try:
        if only_headers:
            return read_shape(root / name)
        audio = read_audio(root / name)
    except AudioError as error:
        return Finding(error.reason, name, str(error).removeprefix(f"{root / name}: "), "error")
    channels, samples = audio.samples.shape
    return Shape(audio.sample_rate, channels, samples / audio.sample_rate)


def compare_shapes(
    shapes: dict[str, Shape],
    fields: Sequence[str] = ("sample_rate", "channels", "seconds"),
    expected: Mapping[str, int | float | None] | None = None,
    tolerance: float = SECONDS_TOLERANCE,
) -> list[Finding]:
    """Find the clips whose rate, channels or length differs from the expected one or else from that of most clips."""
    if not shapes:
        return []
    table = pd.DataFrame.from_dict({name: asdict(shape) for name, shape in shapes.items()}, orient="index")
    findings = []
    for field, code, unit, severity in _SHAPE_CHECKS:
        if field not in fields:
            continue
        wanted = (expected or {}).get(field)
        usual = wanted or table[field].mode()[0]
        differences = (table[field] - usual).abs()
        deviating = table.loc[[not is_within(difference, tolerance) for difference in differences], field]
        if wanted:
            severity = "error"
        for name, value in deviating.items():
            findings.append(Finding(code, str(name), f"{value:g} {unit} instead of {usual:g}", severity))
    return findings


def _compare_usual_length(shapes: dict[str, Shape], next_seconds: float) -> list[Finding]:
    usual = pd.Series([shape.seconds for shape in shapes.values()]).mode()[0]
    if abs(usual - next_seconds) <= SECONDS_TOLERANCE:
        return []
    detail = f"{usual:g} s; the usual front ends take {next_seconds:g} s and would refuse them: "
    detail += f"extract-features --clip-seconds {usual:g} takes them"
    return [Finding("usual_length", "most clips", detail, "warning")]


def compare_lists(dataset: Dataset) -> list[Finding]:
    """Compare the lists with the folder and the two folds with each other."""
    findings = list(dataset.findings)
    listed = set(dataset.files)
    fault = "it lies in no folder of a class" if dataset.layout == "folders" else "no list names it"
    found = {name for folder in dataset.audio for name in list_recordings(dataset.root, folder)}
    for name in sorted(found - listed):
        findings.append(Finding("extra_file", printable(name), fault, "warning"))
    others = [name for folder in dataset.audio for name in list_other_files(dataset.root, folder)]
    others = [printable(name) for name in others if name not in listed]
    if dataset.layout == "folders":
        others = [name for name in others if "/" in name]  # a note may lie next to the folders of the classes
    if dataset.layout == "table":
        others = [name for name in others if not name.lower().endswith(TABLE_SUFFIXES)]
    findings += find_other_kinds(others)
    links = [name for name in dataset.files if is_link_outside(dataset.root, name)]
    if links:
        detail = f"{len(links)} clips are links to files outside the data set, such as {links[0]}"
        findings.append(Finding("links_outside", "lists", detail, "warning"))
    if dataset.duplicates:
        findings.append(Finding("duplicate_rows", "lists", f"{dataset.duplicates} rows are repeated", "warning"))
    used = dataset.clips.loc[dataset.clips["split"] != "unused", "label"].value_counts()
    for label in used.index[(used == 1) & (used.index != "")]:
        findings.append(Finding("single_clip", label, "only one clip has this label: is it a typing error?", "warning"))
    findings += find_similar_classes(dataset.classes)
    findings += find_lists_of_classes(dataset.classes)
    for row in divided_units(dataset.clips).itertuples():
        detail = f"{row.train} clips in train, {row.test} in test"
        findings.append(Finding("location_in_both_folds", str(row.Index), detail, "warning"))
    return findings + find_absent_classes(dataset.clips, dataset.classes)
