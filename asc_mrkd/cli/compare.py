"""asc-mrkd compare: the differences between runs and their uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; a CE run among them is the baseline.")],
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--welch",
            help="Compare seed by seed, over the seeds that both have, or by Welch's test, over all seeds; "
            "default: seed by seed where both have the same seeds.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs with their baseline: interval, t-test and effect size over the seeds.

    If the test set is small, a bootstrap over recording locations (or images) says how far it carries.

    Example: asc-mrkd compare exp/ce exp/mrkd
    """

    from asc_mrkd import evaluation
    from asc_mrkd.report import difference_records, print_differences

    rows = evaluation.compare(runs, paired)
    if as_json:
        print_json(difference_records(rows))
    else:
        print_differences(rows, make_console())
