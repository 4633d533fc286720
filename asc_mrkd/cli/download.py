"""asc-mrkd download: a public data set, checked and unpacked."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.catalogue import print_catalogue
from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.transfers import transfers
from asc_mrkd.errors import ConfigError, suggest

if TYPE_CHECKING:
    from asc_mrkd.download.catalogue import DataSet

REMOVE = "Remove each archive in --out, downloaded or found there, once its content is on the disk; others stay."
GIVEN = "Archive downloaded by hand, or the folder of some; the rest is downloaded. Outside --out it always stays."


def download(
    name: Annotated[str | None, typer.Argument(help="Data set; without it, those that there are.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the archives and of the data set folder.")] = Path("data"),
    archive: Annotated[Path | None, typer.Option(help=GIVEN)] = None,
    remove_archives: Annotated[bool, typer.Option("--remove-archives", help=REMOVE)] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Archives downloaded at a time.", min=1, max=16)] = 3,
    listed: Annotated[bool, typer.Option("--list", help="List the data sets, or the one named.")] = False,
    as_json: Json = False,
) -> None:
    """Download a data set, check it and unpack it.

    The same command continues one that was cut or stopped. An archive in --out is used without any network.

    Archives stay unless --remove-archives is given.

    Example: asc-mrkd download dcase18 --out data
    """
    from asc_mrkd.download.catalogue import DATA_SETS
    from asc_mrkd.download.dataset import fetch

    if name is not None and name not in DATA_SETS:
        short = re.sub(r"20(?=\d\d)", "", name)  # dcase2018 is meant for dcase18
        raise ConfigError(f"there is no data set '{name}' to download", suggest(short, DATA_SETS))
    if name is None or listed:
        return _list({key: row for key, row in DATA_SETS.items() if name in (None, key)}, as_json)
    data_set = DATA_SETS[name]
    is_there = any((out / data_set.folder).glob("*"))
    try:
        with transfers(f"{data_set.folder}.") as progress:
            folder = fetch(data_set, out, archive, remove_archives, jobs, progress)
    except KeyboardInterrupt:
        typer.echo(f"interrupted: what has arrived is kept in {out}, the same command continues", err=True)
        raise
    if is_there:
        typer.echo(f"{name} was there already and is complete", err=True)
    elif data_set.licence:
        typer.echo(f"{data_set.summary}: {data_set.licence}, see LICENSE in its folder", err=True)
    return print_json({"name": name, "folder": folder}) if as_json else typer.echo(folder)


def _list(data_sets: "dict[str, DataSet]", as_json: bool) -> None:
    if as_json:
        return print_json([_record(name, data_set) for name, data_set in data_sets.items()])
    title = "Data sets to download: asc-mrkd download NAME --out data"
    columns = ("name", "archives", "GB", "unpacked", "what it is")
    return print_catalogue(title, columns, [_row(name, data_set) for name, data_set in data_sets.items()])


def _row(name: str, data_set: "DataSet") -> list[str]:
    sizes = (f"{size / 1e9:.1f}" for size in (data_set.size, data_set.size_unpacked))
    return [name, str(len(data_set.archives)), *sizes, "; ".join(filter(None, (data_set.summary, data_set.licence)))]


def _record(name: str, data_set: "DataSet") -> dict[str, Any]:
    """Return what another program needs to download the archives."""
    return {
        "name": name,
        "summary": data_set.summary,
        "licence": data_set.licence,
        "folder": data_set.folder,
        "bytes": data_set.size,
        "bytes_unpacked": data_set.size_unpacked,
        "archives": [vars(archive) for archive in data_set.archives],
    }
