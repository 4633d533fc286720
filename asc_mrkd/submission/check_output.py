"""Check the output file of a system: one row per clip, with the scene and its probabilities."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterator

from asc_mrkd.runs.predictions import SUM_TOLERANCE
from asc_mrkd.submission.tasks import Problem, Task

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
"""Numbers that every reader accepts; Python also accepts 1_0 and digits of other scripts."""

Fault = tuple[int | None, str, str]
"""Line, code and message of a problem."""


def check_output(file: str, text: str, task: Task, clips: Collection[str]) -> list[Problem]:
    """Check an output file against the columns of `task` and the names (without folder) of the clips it must list.

    Clips are named audio/<n>.wav or <n>.wav. For the evaluation set of 2024 no other form is documented, but its
    validator accepts any folder and leading zeros, so both are accepted here as well (`Task.any_name`).
    """
    names = dict.fromkeys(task.clip_name(clip) for clip in clips)
    return [Problem(file, line, code, message) for line, code, message in find_faults(text, task, names)]


def find_faults(text: str, task: Task, clips: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of an output file that must list `clips`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        yield reader.line_num, "not-a-table", f"cannot be read as tab-separated text: {error}"
        return
    columns = list(task.columns)
    if task.probabilities or (rows and "filename" in rows[0][1]):
        header = rows[0][1] if rows else []
        faults = list(_header_faults(header, task))
        yield from faults
        if faults:
            return
        columns = header
        rows = rows[1:]
    first_line: dict[str, int] = {}
    for line, row in rows:
        if len(row) != len(columns):
            message = f"{len(row)} columns instead of {len(columns)}" if row else "the line is empty"
            if len(row) == 1:
                message += "; columns are separated by tabs"
            yield line, "column-count", message
            continue
        cells = dict(zip(columns, row, strict=True))
        clip = task.clip_name(cells["filename"])
        row_faults = [*_name_faults(cells["filename"], clip, task, clips), *_scene_faults(cells, task)]
        for code, message in row_faults:
            yield line, code, message
        if clip in first_line:
            yield line, "duplicate-file", f"{clip} is already in line {first_line[clip]}"
        first_line.setdefault(clip, line)
    missing = [clip for clip in clips if clip not in first_line]
    if missing:
        examples = ", ".join(missing[:3])
        if len(missing) > 3:
            examples += ", ..."
        yield None, "missing-files", f"{len(missing)} of {len(clips)} clips have no row: {examples}"


def _header_faults(header: list[str], task: Task) -> Iterator[Fault]:
    wanted = f"line 1 must hold, separated by tabs: {' '.join(task.columns)}"
    if "filename" not in header:
        yield 1, "no-header", wanted
    elif sorted(header) != sorted(task.columns):
        yield 1, "header-fields", f"{wanted}; it holds: {' '.join(header)}"


def _name_faults(filename: str, clip: str, task: Task, clips: Collection[str]) -> Iterator[tuple[str, str]]:
    plain = clip if clip in clips else re.sub("^0+(?=[0-9])", "", clip)
    if not re.fullmatch(r".+\.wav", clip):
        yield "file-extension", f"'{filename}' does not end in .wav"
    elif plain != clip and plain in clips:
        yield "padded-name", f"'{filename}' must be written as {plain}, without zeros before the number"
    elif plain not in clips:
        yield "unknown-file", f"'{filename}' is not a clip of the evaluation set"
    if filename.rpartition("/")[0] not in ("", "audio") and not task.any_name:
        yield "file-folder", f"'{filename}' must be written as {clip} or audio/{clip}"


def _scene_faults(cells: dict[str, str], task: Task) -> Iterator[tuple[str, str]]:
    scene = cells["scene_label"]
    if scene not in task.classes:
        yield "scene-label", f"'{scene}' is not one of {', '.join(task.classes)}"
    if not task.probabilities:
        return
    wrong = [name for name in task.classes if not NUMBER.fullmatch(cells[name])]
    if wrong:
        yield "not-a-number", f"'{cells[wrong[0]]}' in the column {wrong[0]} is not a number"
        return
    probabilities = {name: float(cells[name]) for name in task.classes}
    if not all(0.0 <= p <= 1.0 for p in probabilities.values()):  # NaN fails too
        yield "probability-range", f"{cells['filename']} has a probability outside 0..1"
        return
    total = math.fsum(probabilities.values())
    if abs(total - 1.0) > SUM_TOLERANCE:
        yield "probability-sum", f"the probabilities of {cells['filename']} add up to {total:.4f}"
    best = max(probabilities, key=probabilities.__getitem__)
    if probabilities.get(scene, 1.0) < probabilities[best]:
        yield "argmax", f"the scene is {scene} but {best} has the highest probability"
