"""asc-mrkd compress: make a trained network smaller."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.options import Json, Limits, Overrides, Ram, RuleName, Run, print_json, say_choice
from asc_mrkd.cli.progress import progress
from asc_mrkd.cli.terminal import make_console

if TYPE_CHECKING:
    from asc_mrkd.budget import Rule
    from asc_mrkd.compression import Candidate


def compress(
    run: Run,
    steps: Annotated[str, typer.Argument(help="As in prune:amount=0.1,scope=layer,kernels=1x1+float16.")],
    out: Annotated[Path, typer.Option(help="Folder to write the compressed network into.")],
    overrides: Overrides = None,
    rule: RuleName = "dcase2020-task1b",
    limit: Limits = None,
    ram: Ram = None,
    as_json: Json = False,
) -> None:
    """Make a trained network smaller and measure it before and after on the test clips.

    Steps, joined by +: decompose:factor=4, prune:amount=0.1,scope=global|layer,kernels=all|1x1, and float16 or int8.

    OUT is a run folder: evaluate, predict, check-budget, report and submit make take it.

    Example: asc-mrkd compress exp/dcase20/builtin/reduced/mrkd float16 --out exp/small
    """
    from asc_mrkd import compression
    from asc_mrkd.budget import choose_rule

    chosen = choose_rule(rule, limit, ram)
    say_choice(run)
    result = compression.compress(run, steps, out, chosen, progress, overrides or ())
    print_candidates([result.before, result.after], result.rule, as_json)


def print_candidates(candidates: Sequence["Candidate"], rule: "Rule", as_json: bool) -> None:
    """Print a table, or JSON, of measured networks."""

    from asc_mrkd.report.tables import TextTable

    if as_json:
        print_json([candidate_record(candidate) for candidate in candidates])
        return
    columns = ("steps", "accuracy %", "log loss", "counted", "file", "MMAC", "RAM", "fits")
    rows = [candidate_cells(candidate) for candidate in candidates]
    notes = (
        "accuracy: macro, of all test clips; counted: size under the rule; file: the model file on the disk",
        "RAM: activations alive at once; a runtime takes at least as much",
    )
    make_console().print(TextTable(f"compression, {rule.title}", columns, rows, notes=notes))


def candidate_cells(candidate: "Candidate") -> tuple[str, ...]:
    """Return the cells of one network in the table."""
    from asc_mrkd.files import format_bytes

    memory = candidate.budget.memory
    return (
        candidate.steps or "as trained",
        f"{100 * candidate.metrics.macro_accuracy:.2f}",
        f"{candidate.metrics.log_loss:.3f}",
        format_bytes(candidate.budget.bytes, kilo=1024),
        format_bytes(candidate.file_bytes, kilo=1024),
        f"{candidate.budget.multiply_adds / 1e6:,.1f}",
        "?" if memory is None else format_bytes(memory.peak, kilo=1024),
        "yes" if candidate.budget.within else "no",
    )


def candidate_record(candidate: "Candidate") -> dict[str, Any]:
    """Return one network as plain values for JSON; sizes are in bytes."""
    return {
        "steps": candidate.steps,
        "accuracy": candidate.metrics.accuracy,
        "macro_accuracy": candidate.metrics.macro_accuracy,
        "log_loss": candidate.metrics.log_loss,
        "bytes": candidate.budget.bytes,
        "file_bytes": candidate.file_bytes,
        "non_zero": candidate.budget.non_zero,
        "multiply_adds": candidate.budget.multiply_adds,
        "ram": None if candidate.budget.memory is None else candidate.budget.memory.peak,
        "within": candidate.budget.within,
    }
