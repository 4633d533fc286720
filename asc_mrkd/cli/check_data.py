"""asc-mrkd check-data: a report on a data set, an image set or a feature store."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import Json, MaxBad, Workers, print_json
from asc_mrkd.cli.own_recordings import takes_own_recordings
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say

if TYPE_CHECKING:
    from asc_mrkd.datasets.findings import DataCheck
    from asc_mrkd.datasets.pieces import Cutting
    from asc_mrkd.datasets.recordings import Reading

SHOWN = 10
"""Findings per code that are printed; --json prints all."""


@takes_own_recordings
def check_data(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Data set as unpacked; your own recordings, as a folder per class or a table; or a feature store.",
        ),
    ],
    spec: Annotated[
        str | None, typer.Option(help="Front end to check for: recordings that it would refuse are errors.")
    ] = None,
    *,
    reading: "Reading",
    cutting: "Cutting",
    max_bad: MaxBad = 0.01,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Check a data set: read every recording, image or row, and list every fault.

    Exit code 1 if more than --max-bad of the clips cannot be used. With your own recordings, it also prints how it
    understood them: classes, columns, groups and splits.

    Image sets are compared with the official ones, and feature stores with their checksums. All options but --json are
    for recordings.

    Example: asc-mrkd check-data exp/dcase18/builtin/scenes --spec pmel256
    """
    from asc_mrkd import doctor

    check = doctor.check_data(
        folder, spec=spec, reading=reading, cutting=cutting, workers=workers, progress=show_progress
    )
    if as_json:
        print_json(
            {
                "layout": check.layout,
                "clips": check.total,
                "splits": check.splits,
                "classes": check.classes,
                "bad": check.unusable,
                "findings": [asdict(finding) for finding in check.findings],
                "summary": check.summary,
            }
        )
    else:
        _print_findings(check)
        say(_conclusion(check))
    if not check.passes(max_bad):
        raise typer.Exit(1)


def _print_findings(check: "DataCheck") -> None:
    counts = ", ".join(f"{count} {split}" for split, count in check.splits.items())
    say(f"{check.layout}: {check.total} {check.unit} ({counts}), {len(check.classes)} classes")
    for sentence in check.summary:
        say(f"  {sentence}")
    for code in dict.fromkeys(finding.code for finding in check.findings):
        same = [finding for finding in check.findings if finding.code == code]
        say(f"{same[0].severity} {code}: {len(same)}")
        for finding in same[:SHOWN]:
            say(f"    {finding.subject}: {finding.detail}")
        if len(same) > SHOWN:
            say(f"    ... and {len(same) - SHOWN} more (--json lists all)")


def _conclusion(check: "DataCheck") -> str:
    """Return the last line of the report."""
    if check.unit == "images":
        return f"not the official {check.layout}: {', '.join(check.unusable)}" if check.unusable else "all can be used"
    fault = "rows are damaged" if check.unit == "rows" else "clips cannot be used"
    return f"{len(check.unusable)} of {check.total} {fault}"
