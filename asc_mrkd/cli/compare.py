"""asc-mrkd compare: the differences between runs and their uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders; a CE run among them is the baseline.")
    ],
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--welch",
            help="Paired t-test over the seeds that both runs have, or Welch's test over all seeds.",
            show_default="paired where both have the same seeds",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs with their baseline: interval, t-test and effect size over the seeds.

    If the test set is small, a bootstrap over recording locations, your own groups or images shows what other test
    clips could change.

    Example: asc-mrkd compare exp/dcase18/builtin/reduced/ce exp/dcase18/builtin/reduced/mrkd
    """

    from asc_mrkd import evaluation
    from asc_mrkd.report import difference_records, print_differences

    rows = evaluation.compare(runs, paired)
    if as_json:
        print_json(difference_records(rows))
    else:
        print_differences(rows, make_console())
