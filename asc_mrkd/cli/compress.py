"""asc-mrkd compress: make a trained network smaller."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import Json, Limits, Overrides, Ram, RuleName, Run, print_json, say_choice
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import make_console

if TYPE_CHECKING:
    from asc_mrkd.budget import Rule
    from asc_mrkd.compression import Candidate


def compress(
    run: Run,
    steps: Annotated[str, typer.Argument(metavar="STEPS", help="Steps joined by +, as in prune:amount=0.1+float16.")],
    out: Annotated[Path, typer.Option(help="Folder for the compressed network; an earlier one is replaced.")],
    overrides: Overrides = None,
    rule: RuleName = "dcase2020-task1b",
    limit: Limits = None,
    ram: Ram = None,
    as_json: Json = False,
) -> None:
    """Make a trained network smaller, and measure it before and after on the test clips.

    The steps are decompose:factor=4, prune:amount=0.1,scope=global|layer,kernels=all|1x1, float16 and int8.

    The result is a run folder, which evaluate, predict, check-budget, report and submit make take.

    Example: asc-mrkd compress exp/dcase20/builtin/reduced/mrkd float16 --out exp/small
    """
    from asc_mrkd import compression
    from asc_mrkd.budget import choose_rule

    chosen = choose_rule(rule, limit, ram)
    say_choice(run)
    result = compression.compress(run, steps, out, chosen, show_progress, overrides or ())
    print_candidates([result.before, result.after], result.rule, as_json)


def print_candidates(candidates: Sequence["Candidate"], rule: "Rule", as_json: bool) -> None:
    """Print a table, or JSON, of measured networks."""
    from asc_mrkd.compression.table import candidate_record, candidates_table

    if as_json:
        print_json([candidate_record(candidate) for candidate in candidates])
        return
    make_console().print(candidates_table(candidates, rule))
