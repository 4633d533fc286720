"""asc-mrkd submit: make, check and look up challenge entries."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import SubmissionError

app = typer.Typer(help="Make a challenge entry, or check one.", no_args_is_help=True)


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
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Run folder, or a seed folder of it.")] = None,
    task: Task = "dcase2020-task1b",
    label: Annotated[
        str, typer.Option(help="Label of the entry, as in Doe_INST_task1b_1, with a number from 1 to 4.")
    ] = "",
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERCENT=RUN",
            help="Run trained on this share of the data, instead of RUN; once per share that the task asks for.",
        ),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the evaluation recordings.", show_default="test clips of the run")
    ] = None,
    meta: Annotated[
        Path | None, typer.Option(help="YAML file with authors, name and description of the system.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Average all seeds of the run.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Rule that the network must keep, besides that of the task.")
    ] = None,
    unreadable: Annotated[
        str, typer.Option(help="Answer for a recording that cannot be used: prior (shares of the classes) or even.")
    ] = "prior",
) -> None:
    """Write an entry: output files, meta file and zip.

    On stderr it says which seed it takes, the accuracy of this seed, and the alternatives.

    Exit code 1 if the network is over a limit of the task.

    Example: asc-mrkd submit make exp/dcase20/builtin/reduced/fitted/mrkd --label Doe_INST_task1b_1 --out exp/submission
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
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Zip, or folder of entries.")],
    task: Task = "dcase2020-task1b",
    files: Annotated[
        Path | None, typer.Option(help="List of the clips.", show_default="official evaluation set")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an entry as the organisers do, but more strictly.

    Exit code 0 if it can be sent, 1 if not.

    Example: asc-mrkd submit check exp/submission/Doe_INST_task1b.zip --task dcase2020-task1b
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
    """List the tasks that entries can be made for.

    The keys of --json are name, title, classes, clips, rule and splits.

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
