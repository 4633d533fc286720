"""The check of recordings: every clip is read once, and the lists are compared with the folder and each other."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from asc_mrkd.audio.read import REASONS, SECONDS_TOLERANCE, read_audio
from asc_mrkd.datasets.clip_lists import is_link_outside
from asc_mrkd.datasets.findings import Finding, Severity, count_by_fold, find_absent_classes, find_other_kinds
from asc_mrkd.datasets.recordings import Dataset, list_other_files, list_recordings, printable
from asc_mrkd.errors import AudioError
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.workers import local_pool, map_in_order

_CLIPS_PER_CHUNK = 16
"""Clips that a worker gets at a time."""


@dataclass(frozen=True)
class _Shape:
    """Rate (Hz), channels and length (s) of a clip."""

    sample_rate: int
    channels: int
    seconds: float


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
    channels: int | None = None,
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
        channels: only accepted number of channels; None expects that of most clips, and another one is a warning.
        seconds: only accepted length (s); None expects that of most clips.
        tolerance: largest accepted difference from that length (s).
        next_seconds: length (s) that the next step will want; it is a warning if most clips have another one.
        workers: processes that read; each holds one clip at a time.
        progress: shows how many clips were read.

    Returns:
        Findings about clips first, then about the lists. Codes: a reason of asc_mrkd.audio.read.REASONS, or
        usual_length, extra_file, other_files, links_outside, duplicate_rows, single_clip, location_in_both_folds,
        class_not_in_train, class_not_in_test.
    """
    findings: list[Finding] = []
    shapes: dict[str, dict] = {}
    names = dataset.clips["filename"].tolist()
    with progress("reading", len(names), "clips") as advance:
        for name, result in zip(names, _examine_all(dataset.root, names, workers), strict=True):
            if isinstance(result, Finding):
                findings.append(result)
            else:
                shapes[name] = asdict(result)
            advance()
    if shapes:
        expected = {"sample_rate": sample_rate, "channels": channels, "seconds": seconds}
        table = pd.DataFrame.from_dict(shapes, orient="index")
        findings += _compare_shapes(table, expected, max(tolerance, SECONDS_TOLERANCE))
        if next_seconds:
            findings += _compare_usual_length(table["seconds"], next_seconds)
    return findings + _compare_lists(dataset)


def _examine_all(root: Path, names: list[str], workers: int) -> Iterator[_Shape | Finding]:
    chunks = (names[start : start + _CLIPS_PER_CHUNK] for start in range(0, len(names), _CLIPS_PER_CHUNK))
    crashed = partial(Finding, "crashed", detail=REASONS["crashed"], severity="error")
    return map_in_order(local_pool(workers), partial(_examine_clips, root), chunks, on_crash=crashed)


def _examine_clips(root: Path, names: Sequence[str]) -> list[_Shape | Finding]:
    return [_examine_clip(root, name) for name in names]


def _examine_clip(root: Path, name: str) -> _Shape | Finding:
    """Read a clip and return its shape, or the reason why it cannot be used."""
    try:
        audio = read_audio(root / name)
    except AudioError as error:
        return Finding(error.reason, name, str(error).removeprefix(f"{root / name}: "), "error")
    channels, samples = audio.samples.shape
    return _Shape(audio.sample_rate, channels, samples / audio.sample_rate)


def _compare_shapes(shapes: pd.DataFrame, expected: dict[str, int | float | None], tolerance: float) -> list[Finding]:
    """Find the clips whose rate, channels or length differs from the expected one or else from that of most clips."""
    findings = []
    for field, code, unit, severity in _SHAPE_CHECKS:
        usual = expected[field] or shapes[field].mode()[0]
        deviating = shapes.loc[(shapes[field] - usual).abs() > tolerance, field]
        if expected[field]:
            severity = "error"
        for name, value in deviating.items():
            findings.append(Finding(code, str(name), f"{value:g} {unit} instead of {usual:g}", severity))
    return findings


def _compare_usual_length(seconds: pd.Series, next_seconds: float) -> list[Finding]:
    usual = seconds.mode()[0]
    if abs(usual - next_seconds) <= SECONDS_TOLERANCE:
        return []
    detail = f"{usual:g} s; the usual front ends take {next_seconds:g} s and would refuse them: "
    detail += f"extract-features needs one with `clip_seconds: {usual:g}`, which --spec names"
    return [Finding("usual_length", "most clips", detail, "warning")]


def _compare_lists(dataset: Dataset) -> list[Finding]:
    """Compare the lists with the folder and the two folds with each other."""
    findings = []
    listed = set(dataset.clips["filename"])
    for name in sorted(set(list_recordings(dataset.root)) - listed):
        findings.append(Finding("extra_file", printable(name), "no list names it", "warning"))
    others = [printable(name) for name in list_other_files(dataset.root) if name not in listed]
    findings += find_other_kinds(others)
    links = [name for name in dataset.clips["filename"] if is_link_outside(dataset.root, name)]
    if links:
        detail = f"{len(links)} clips are links to files outside the data set, such as {links[0]}"
        findings.append(Finding("links_outside", "lists", detail, "warning"))
    if dataset.duplicates:
        findings.append(Finding("duplicate_rows", "lists", f"{dataset.duplicates} rows are repeated", "warning"))
    used = dataset.clips.loc[dataset.clips["split"] != "unused", "label"].value_counts()
    for label in used.index[(used == 1) & (used.index != "")]:
        findings.append(Finding("single_clip", label, "only one clip has this label: is it a typing error?", "warning"))
    locations = count_by_fold(dataset.clips, "identifier").drop(index="", errors="ignore")
    for row in locations[(locations > 0).all(axis=1)].itertuples():
        detail = f"{row.train} clips in train, {row.test} in test"
        findings.append(Finding("location_in_both_folds", str(row.Index), detail, "warning"))
    return findings + find_absent_classes(dataset.clips, dataset.classes)
