"""asc-mrkd fit-budget: compress a trained network until it fits a challenge rule."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.compress import print_candidates
from asc_mrkd.cli.options import Json, Limits, Overrides, Ram, RuleName, Run, say_choice
from asc_mrkd.cli.progress import show_progress


def fit_budget(
    run: Run,
    overrides: Overrides = None,
    rule: RuleName = "dcase2020-task1b",
    limit: Limits = None,
    ram: Ram = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the first network that fits; an earlier one is replaced.")
    ] = None,
    steps: Annotated[
        list[str] | None,
        typer.Option("--try", help="Steps to try instead of the usual ones, as in compress; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compress a trained network, from the mildest step to the strongest, until it fits a challenge rule.

    Prints accuracy, log loss, size, multiply-adds and memory after every step. Exit code 0 if one fits, 1 if none does.

    Example: asc-mrkd fit-budget exp/dcase20/builtin/reduced/mrkd --rule dcase2021-task1a --out exp/small
    """
    from asc_mrkd import compression
    from asc_mrkd.budget import choose_rule

    chosen = choose_rule(rule, limit, ram)
    say_choice(run)
    fitted = compression.fit_budget(run, chosen, out, steps, show_progress, overrides or ())
    print_candidates(fitted.candidates, fitted.rule, as_json)
    if not fitted.within:
        raise typer.Exit(1)
