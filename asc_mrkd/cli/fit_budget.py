"""asc-mrkd fit-budget: compress a trained network until it fits a challenge rule."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.compress import RuleName, Run, print_candidates
from asc_mrkd.cli.options import Json


def fit_budget(
    run: Run,
    rule: RuleName = "dcase2020-task1b",
    out: Annotated[Path | None, typer.Option(help="Folder to write the network that fits into.")] = None,
    ladder: Annotated[
        list[str] | None, typer.Option("--try", help="Steps to try in place of the usual ones; repeat it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compress a trained network step by step, from the gentlest to the hardest, until it fits a challenge rule.

    Prints the accuracy, log loss, size and multiply-adds of every step. Exit code 0 when one fits, 1 when none does.

    Example: asc-mrkd fit-budget exp/dcase20/builtin/reduced/mrkd --rule dcase2021-task1a --out exp/small
    """
    from asc_mrkd.compression.compress import Compressor, ladder_for

    compressor = Compressor(run, rule)
    candidates = []
    for steps in ladder or ladder_for(compressor.rule):
        candidates.append(compressor.write(steps, out, only_within=True) if out else compressor.measure(steps))
        if candidates[-1].budget.within:
            break
    print_candidates(candidates, compressor.rule.title, as_json)
    if not candidates[-1].budget.within:
        raise typer.Exit(1)
