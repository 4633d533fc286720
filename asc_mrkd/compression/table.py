"""Measured networks as a table, and as plain values for JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asc_mrkd.budget import Rule
from asc_mrkd.compression.steps import SEPARATOR
from asc_mrkd.files import format_bytes
from asc_mrkd.report.columns import percent
from asc_mrkd.report.tables import TextTable

if TYPE_CHECKING:
    from asc_mrkd.compression.compressor import Candidate

COLUMNS = ("steps", "accuracy %", "log loss", "counted", "file", "MMAC", "RAM", "fits")

NOTES = (
    "accuracy: macro, of all test {samples}; counted: size under the rule; file: the model file on the disk",
    "RAM: activations alive at once; a runtime takes at least as much",
)

FITS = {"within": "yes", "over": "no"}
"""Cells of the last column by verdict; another verdict is shown as it is."""


def candidates_table(candidates: Sequence["Candidate"], rule: Rule) -> TextTable:
    """Tabulate networks that were measured under a rule, one per row."""
    rows = [candidate_cells(candidate) for candidate in candidates]
    notes = [note.format(samples=candidates[0].samples) for note in NOTES]
    return TextTable(f"compression, {rule.title}", COLUMNS, rows, notes=notes)


def candidate_cells(candidate: "Candidate") -> tuple[str, ...]:
    """Return the cells of one network in the table."""
    memory = candidate.budget.memory
    return (
        candidate.steps.replace(SEPARATOR, f"{SEPARATOR}\n") or "as trained",  # a step per line fits 80 columns
        percent(candidate.metrics.macro_accuracy),
        f"{candidate.metrics.log_loss:.3f}",
        format_bytes(candidate.budget.bytes, kilo=1024),
        format_bytes(candidate.file_bytes, kilo=1024),
        f"{candidate.budget.multiply_adds / 1e6:,.1f}",
        "?" if memory is None else format_bytes(memory.peak, kilo=1024),
        FITS.get(candidate.budget.decision, candidate.budget.decision),
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
