"""asc-mrkd download: a public data set, checked and unpacked."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.catalogue import print_catalogue
from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say

if TYPE_CHECKING:
    from asc_mrkd.download.catalogue import DataSet


def download(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Data set. Without it, all are listed.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the archives and the unpacked data set.")] = Path("data"),
    archive: Annotated[
        Path | None,
        typer.Option(help="Archive that you have already, or a folder of archives; missing ones are downloaded."),
    ] = None,
    remove_archives: Annotated[
        bool, typer.Option("--remove-archives", help="Delete each archive in --out once it is unpacked.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Archives to download at a time.", min=1, max=16)] = 3,
    listed: Annotated[bool, typer.Option("--list", help="List all data sets, or show the named one.")] = False,
    as_json: Json = False,
) -> None:
    """Download a data set, check it and unpack it.

    If the download was interrupted, the same command continues it. Archives that lie in --out are not downloaded again.

    Example: asc-mrkd download dcase18 --out data
    """
    from asc_mrkd.download import DATA_SETS, download_dataset, find_data_set

    if name is None:
        _list_data_sets(DATA_SETS, as_json)
        return
    data_set = find_data_set(name)
    if listed:
        _list_data_sets({name: data_set}, as_json)
        return
    is_there = any((out / data_set.folder).glob("*"))
    folder = download_dataset(name, out, archive, remove_archives=remove_archives, jobs=jobs, progress=show_progress)
    if is_there:
        say(f"{name} was there already and is complete", err=True)
    elif data_set.licence:
        say(f"{data_set.summary}: {data_set.licence}, see LICENSE in its folder", err=True)
    if as_json:
        print_json({"name": name, "folder": folder})
    else:
        say(folder)


def _list_data_sets(data_sets: "Mapping[str, DataSet]", as_json: bool) -> None:
    if as_json:
        print_json([_as_json(name, data_set) for name, data_set in data_sets.items()])
        return
    rows = []
    for name, data_set in data_sets.items():
        description = f"{data_set.summary}; {data_set.licence}" if data_set.licence else data_set.summary
        sizes = [f"{data_set.size / 1e9:.1f}", f"{data_set.size_unpacked / 1e9:.1f}"]
        rows.append([name, str(len(data_set.archives)), *sizes, description])
    title = "Data sets to download: asc-mrkd download NAME --out data"
    print_catalogue(title, ("name", "archives", "GB", "unpacked", "content"), rows)


def _as_json(name: str, data_set: "DataSet") -> dict[str, Any]:
    """Return everything that another program needs to download the archives."""
    return {
        "name": name,
        "summary": data_set.summary,
        "licence": data_set.licence,
        "folder": data_set.folder,
        "bytes": data_set.size,
        "bytes_unpacked": data_set.size_unpacked,
        "archives": [vars(archive) for archive in data_set.archives],
    }
