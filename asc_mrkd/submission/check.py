"""Check a submission package before it is sent."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from asc_mrkd.errors import SubmissionError
from asc_mrkd.submission.check_meta import check_meta
from asc_mrkd.submission.check_output import check_output
from asc_mrkd.submission.package import read_package
from asc_mrkd.submission.tasks import META, Problem, Task, find_task


def check_submission(
    path: str | os.PathLike[str], task: str, files: str | os.PathLike[str] | None = None
) -> list[Problem]:
    """Return all faults of a submission; without an error among them the package can be sent.

    Everything that the organisers' validator refuses is refused, and some faults that it accepts: NaN and impossible
    probabilities, a scene that is not the most probable one, a system over the limits of the task, a missing file.

    Args:
        path: the zip, or a folder that holds the folders of one or more submissions.
        task: a key of `asc_mrkd.submission.TASKS`.
        files: a list of the clips, one file name per line, in place of the official evaluation set (for rehearsals).

    Raises:
        ConfigError: unknown task.
        SubmissionError: nothing at `path`, or an unreadable list.

    Example:
        check_submission("exp/submission/Doe_INST_task1a.zip", "dcase2018-task1a")
    """
    rules = find_task(task)
    clips = rules.official_files if files is None else read_clip_list(files)
    contents, problems = read_package(Path(path), (*rules.outputs, META))
    labels = sorted({PurePosixPath(name).parent for name in contents if name.endswith((*rules.outputs, META))})
    if not labels and all(problem.code == "macos" for problem in problems):
        message = f"it holds neither <label>{rules.outputs[0]} nor <label>{META}"
        problems.append(Problem(Path(path).name, None, "no-submission", message))
    for folder in labels:
        if Path(path).is_file():
            problems += _layout_problems(folder, rules)
        own = {name: content for name, content in contents.items() if PurePosixPath(name).parent == folder}
        problems += _check_folder(folder.name, own, rules, clips)
    return problems


def read_clip_list(path: str | os.PathLike[str]) -> list[str]:
    """Read the clip names (without folder) from a list such as evaluation_setup/fold1_test.csv.

    Raises:
        SubmissionError: the list cannot be read or names no .wav file.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SubmissionError(f"{path}: cannot be read ({error})", "give the list of the test clips") from None
    names = [PurePosixPath(line.split("\t")[0].strip()).name for line in lines if line.strip()]
    clips = [name for name in names if name != "filename"]
    if not clips or not all(name.endswith(".wav") for name in clips):
        raise SubmissionError(
            f"{path} is not a list of .wav files, one per line", "see evaluation_setup/fold1_test.csv"
        )
    return clips


def _layout_problems(folder: PurePosixPath, task: Task) -> Iterator[Problem]:
    if not re.fullmatch(re.sub("<[a-z]+>", "[^/]+", task.layout), str(folder)):
        message = f"a package is laid out as {task.layout}/<label>{task.outputs[0]}"
        yield Problem(str(folder), None, "layout", message)


def _check_folder(label: str, contents: dict[str, bytes], task: Task, clips: list[str]) -> Iterator[Problem]:
    if not task.is_label(label):
        message = f"a label of {task.title} reads Lastname_INSTITUTE_{task.tag}_N with N from 1 to 4"
        yield Problem(label, None, "label-pattern", message)
    for suffix in (*task.outputs, META):
        if not any(name.endswith(suffix) for name in contents):
            code = "missing-meta" if suffix == META else "missing-output"
            yield Problem(label, None, code, f"{label}{suffix} is missing")
    for name, content in contents.items():
        if name.endswith((*task.outputs, META)):
            yield from _check_file(name, content, label, task, clips)
        elif not name.endswith(".pdf"):
            yield Problem(name, None, "unexpected-file", "does not belong in a submission", "warning")


def _check_file(name: str, content: bytes, label: str, task: Task, clips: list[str]) -> Iterator[Problem]:
    if PurePosixPath(name).name not in [label + suffix for suffix in (*task.outputs, META)]:
        yield Problem(name, None, "label-mismatch", f"does not carry the label of its folder, {label}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        yield Problem(name, line, "encoding", "is not UTF-8 text")
        return
    if text.startswith("\ufeff"):
        yield Problem(name, 1, "encoding", "starts with a byte order mark; save it as UTF-8 without one")
    elif name.endswith(META):
        yield from check_meta(name, text, task, label)
    else:
        yield from check_output(name, text, task, clips)
