"""asc-mrkd submit make|check: challenge entries."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json

app = typer.Typer(help="Make the package of a challenge entry, or check one.", no_args_is_help=True)

Task = Annotated[
    str,
    typer.Option(help="dcase2018-task1a, dcase2020-task1a, dcase2020-task1b, dcase2021-task1a or dcase2024-task1."),
]


@app.command("make")
def make(
    out: Annotated[Path, typer.Option(help="Folder to write the package into.")],
    run: Annotated[Path | None, typer.Argument(help="Run folder, or a seed folder of it.")] = None,
    task: Task = "dcase2020-task1b",
    label: Annotated[str, typer.Option(help="Lastname_INSTITUTE_task1b_1, the last number 1 to 4.")] = "",
    split: Annotated[
        list[str] | None, typer.Option(help="PERCENT=RUN for each of 5, 10, 25, 50, 100; 2024 only, in place of RUN.")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="Evaluation recordings; default: the run's test clips.")] = None,
    meta: Annotated[Path | None, typer.Option(help="YAML with authors, name and system description.")] = None,
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    ensemble: Annotated[bool, typer.Option(help="Average all seeds of the run.")] = False,
    budget: Annotated[str | None, typer.Option(help="Challenge rule to keep beside that of the task.")] = None,
) -> None:
    """Write output.csv, meta.yaml and the zip of an entry. Exit code 1 when it is over the limits of the task.

    Example: asc-mrkd submit make exp/ce --task dcase2018-task1a --label Doe_INST_task1a_1 --out exp/submission
    """
    from asc_mrkd.submission import make_submission

    package = make_submission(
        _runs(run, split or []),
        task,
        label,
        out,
        audio=audio,
        meta=meta,
        precision=precision,
        ensemble=ensemble,
        budget=budget,
    )
    typer.echo(package)


def _runs(run: Path | None, split: list[str]) -> Path | dict[int, Path]:
    from asc_mrkd.errors import SubmissionError

    runs = {}
    for text in split:
        percent, _, folder = text.partition("=")
        if not percent.isdecimal() or not folder or int(percent) in runs:
            raise SubmissionError(f"--split {text} does not read PERCENT=RUN, once each", "as in --split 5=exp/share5")
        runs[int(percent)] = Path(folder)
    if run is not None and not runs:
        return run
    if run is None and runs:
        return runs
    raise SubmissionError("give either RUN or, for each share of the training data, --split", "asc-mrkd submit make -h")


@app.command("check")
def check(
    package: Annotated[Path, typer.Argument(help="The zip, or a folder of entries.")],
    task: Task = "dcase2020-task1b",
    files: Annotated[Path | None, typer.Option(help="List of the clips; default: the official evaluation set.")] = None,
    as_json: Json = False,
) -> None:
    """Check an entry as the organisers do, and beyond. Exit code 0 when it can be sent, 1 when not.

    Example: asc-mrkd submit check exp/submission/Doe_INST_task1a.zip --task dcase2018-task1a
    """
    from asc_mrkd.submission import check_submission

    problems = check_submission(package, task, files)
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            typer.echo(str(problem))
        warnings = len(problems) - len(errors)
        typer.echo(f"{package}: {'refused' if errors else 'accepted'}, {len(errors)} errors, {warnings} warnings")
    if errors:
        raise typer.Exit(1)
