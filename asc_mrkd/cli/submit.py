"""asc-mrkd submit: make, check and look up challenge entries."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import SubmissionError

app = typer.Typer(help="Make the package of a challenge entry, or check one.", no_args_is_help=True)


def complete_task() -> list[str]:
    """Return the names of all tasks, for the completion of the shell."""
    from asc_mrkd.submission import TASKS

    return list(TASKS)


Task = Annotated[
    str, typer.Option(help="Challenge task, as listed by `asc-mrkd submit tasks`.", autocompletion=complete_task)
]


@app.command("make")
def make(
    out: Annotated[Path, typer.Option(help="Folder to write the package into.")],
    run: Annotated[Path | None, typer.Argument(help="Run folder, or a seed folder of it.")] = None,
    task: Task = "dcase2020-task1b",
    label: Annotated[str, typer.Option(help="Lastname_INSTITUTE_task1b_1, the last number from 1 to 4.")] = "",
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERCENT=RUN",
            help="Run for a share of the training data, in place of RUN; for tasks with splits, once per split.",
        ),
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="Evaluation recordings; default: the run's test clips.")] = None,
    meta: Annotated[Path | None, typer.Option(help="YAML with authors, name and system description.")] = None,
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    ensemble: Annotated[bool, typer.Option(help="Average all seeds of the run.")] = False,
    budget: Annotated[str | None, typer.Option(help="Challenge rule to keep besides that of the task.")] = None,
    unreadable: Annotated[
        str, typer.Option(help="Row of a recording that cannot be used: prior, the shares of the classes, or even.")
    ] = "prior",
) -> None:
    """Write the output files, the meta file and the zip of an entry. Exit code 1 if it is over a limit of the task.

    Says on stderr which seed it takes, its accuracy and the alternatives.

    Example: asc-mrkd submit make exp/ce --task dcase2018-task1a --label Doe_INST_task1a_1 --out exp/submission
    """
    from asc_mrkd.cli.progress import show_progress
    from asc_mrkd.submission import make_submission

    splits = parse_splits(split or [])
    if (run is None) == (not splits):
        raise SubmissionError(
            "give either RUN or, for each share of the training data, --split", "asc-mrkd submit make -h"
        )
    package = make_submission(
        run or splits,
        task,
        label,
        out,
        audio=audio,
        meta=meta,
        precision=precision,
        ensemble=ensemble,
        budget=budget,
        unreadable=unreadable,
        progress=show_progress,
        tell=lambda sentence: say(sentence, err=True),
    )
    say(package)


def parse_splits(texts: list[str]) -> dict[int, Path]:
    """Return the run of each share of the training data, in percent.

    Raises:
        SubmissionError: a text is not PERCENT=RUN, or a share is given twice.

    >>> parse_splits(["5=exp/share5", "10=exp/share10"])[5].as_posix()
    'exp/share5'
    """
    runs: dict[int, Path] = {}
    for text in texts:
        percent, _, folder = text.partition("=")
        if not percent.isdecimal() or not folder or int(percent) in runs:
            raise SubmissionError(f"--split {text} is not PERCENT=RUN, once per share", "as in --split 5=exp/share5")
        runs[int(percent)] = Path(folder)
    return runs


@app.command("check")
def check(
    package: Annotated[Path, typer.Argument(help="The zip, or a folder of entries.")],
    task: Task = "dcase2020-task1b",
    files: Annotated[Path | None, typer.Option(help="List of the clips; default: the official evaluation set.")] = None,
    as_json: Json = False,
) -> None:
    """Check an entry as the organisers do, and more strictly. Exit code 0 if it can be sent, 1 if not.

    Example: asc-mrkd submit check exp/submission/Doe_INST_task1a.zip --task dcase2018-task1a
    """
    from asc_mrkd.submission import check_submission

    problems = check_submission(package, task, files)
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            say(str(problem))
        verdict = "refused" if errors else "accepted"
        say(f"{package}: {verdict}, {len(errors)} errors, {len(problems) - len(errors)} warnings")
    if errors:
        raise typer.Exit(1)


@app.command("tasks")
def print_tasks(as_json: Json = False) -> None:
    """List the tasks that entries can be made for. The keys of --json: name, title, classes, clips, rule, splits.

    Example: asc-mrkd submit tasks
    """
    from asc_mrkd.cli.catalogue import print_catalogue
    from asc_mrkd.submission import TASKS

    if as_json:
        keys = ("name", "title", "classes", "clips", "rule", "splits")
        print_json([{key: getattr(task, key) for key in keys} for task in TASKS.values()])
        return
    rows = []
    for task in TASKS.values():
        words = [task.title]
        if task.rule:
            words.append(f"limits: {task.rule}")
        if task.splits:
            words.append("one run for each of " + ", ".join(str(percent) for percent in task.splits) + " % of the data")
        if task.inference_code:
            words.append("asks for an inference package too, which is yours to write")
        rows.append([task.name, str(len(task.classes)), f"{task.clips:,}", "; ".join(words)])
    print_catalogue("Challenge tasks", ("task", "classes", "clips", "description"), rows)
