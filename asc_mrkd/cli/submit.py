"""asc-mrkd submit make|check: challenge entries."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json

app = typer.Typer(help="Make the package of a challenge entry, or check one.", no_args_is_help=True)

Task = Annotated[str, typer.Option(help="Challenge task.")]


@app.command("make")
def make(
    run: Annotated[Path, typer.Argument(help="Run folder, or a seed folder of it.")],
    out: Annotated[Path, typer.Option(help="Folder to write the package into.")],
    task: Task = "dcase2020-task1b",
    label: Annotated[str, typer.Option(help="Lastname_INSTITUTE_task1b_1, the last number 1 to 4.")] = "",
    audio: Annotated[Path | None, typer.Option(help="Evaluation recordings; default: the run's test clips.")] = None,
    meta: Annotated[Path | None, typer.Option(help="YAML with authors, name and system description.")] = None,
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    ensemble: Annotated[bool, typer.Option(help="Average all seeds of the run.")] = False,
) -> None:
    """Write output.csv, meta.yaml and the zip of an entry.

    Example: asc-mrkd submit make exp/ce --task dcase2018-task1a --label Doe_INST_task1a_1 --out exp/submission
    """
    from asc_mrkd.submission import make_submission

    typer.echo(make_submission(run, task, label, out, audio=audio, meta=meta, precision=precision, ensemble=ensemble))


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
