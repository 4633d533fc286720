"""asc-mrkd evaluate: the tables of a run."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    as_json: Json = False,
) -> None:
    """Score the test clips or images of a run: overall, by class and by group (city, device, superclass, ...).

    Writes RUN/evaluation.json and RUN/confusion.png.

    Example: asc-mrkd evaluate exp/dcase18/builtin/reduced/mrkd
    """

    from asc_mrkd import evaluation
    from asc_mrkd.report import evaluation_record, print_evaluation, write_evaluation

    summary = evaluation.evaluate(run)
    if as_json:
        print_json(evaluation_record(summary))
    else:
        print_evaluation(summary, make_console())
    write_evaluation(summary)  # last: the tables are worth something where the folder cannot be written
