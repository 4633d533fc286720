"""asc-mrkd report: several runs as a table and as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import make_console, say
from asc_mrkd.errors import ConfigError

PLACES = ("data.store=", "data.images=")
"""Starts of an argument that says where the data of the runs are now."""


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders; a CE run among them is the baseline. If their data have moved, add data.store=DIR, or "
            "data.images=DIR of images.",
        ),
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

    from asc_mrkd.evaluation import compare_summaries
    from asc_mrkd.report import difference_records, print_comparison, write_report

    folders, data = separate_data(runs)
    rows = compare_summaries(write_report(folders, out, data, recordings, show_progress))
    if as_json:
        print_json(difference_records(rows))
    else:
        print_comparison(rows, make_console())
        say(f"report: {out}")


def separate_data(arguments: Sequence[Path]) -> tuple[list[Path], str | None]:
    """Return the run folders, and the folder of the data if one of the arguments says that they have moved.

    Raises:
        ConfigError: several arguments do.

    >>> folders, data = separate_data([Path("exp/ce"), Path("data.store=/data/store")])
    >>> [folder.name for folder in folders], data
    (['ce'], '/data/store')
    """
    places = [str(one) for one in arguments if str(one).startswith(PLACES)]
    if len(places) > 1:
        raise ConfigError(f"the data can be in one place: {' '.join(places)}", "leave one of them")
    folders = [one for one in arguments if str(one) not in places]
    return folders, places[0].partition("=")[2] if places else None
