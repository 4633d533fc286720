"""asc-mrkd report: several runs as a table and as one page."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import make_console, say


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders; a CE run among them is the baseline.")
    ],
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("report.html"),
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the recordings, for the sound of the clips on the page.",
            show_default="known for your own recordings",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs in a table, and on an HTML page with curves, confusion matrices, and clips to see and hear.

    Example: asc-mrkd report exp/dcase18/builtin/reduced/ce exp/dcase18/builtin/reduced/mrkd --out exp/report.html
    """

    from asc_mrkd.report import comparison_records, print_comparison, write_report

    summaries = write_report(runs, out, recordings=recordings, progress=show_progress)
    if as_json:
        print_json(comparison_records(summaries))
    else:
        print_comparison(summaries, make_console())
        say(f"report: {out}")
