"""asc-mrkd download: a public data set, checked and unpacked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.progress import progress
from asc_mrkd.errors import ConfigError, suggest

MB = 1_000_000


def download(
    name: Annotated[str, typer.Argument(help="cifar10, cifar100 or cinic10.")],
    out: Annotated[Path, typer.Option(help="Folder that receives the folder of the data set.")] = Path("data"),
    archive: Annotated[Path | None, typer.Option(help="Archive downloaded by hand, or the folder of several.")] = None,
    keep_archive: Annotated[bool, typer.Option("--keep-archive", help="Do not remove what was downloaded.")] = False,
) -> None:
    """Download a data set, check it and unpack it.

    A download that was cut goes on where it ended. An archive in the output folder is used without any network.

    Example: asc-mrkd download cifar100 --out data
    """
    from asc_mrkd.data.archives import DATA_SETS, fetch

    if name not in DATA_SETS:
        raise ConfigError(f"there is no data set '{name}' to download", suggest(name, DATA_SETS))
    data_set = DATA_SETS[name]
    there = (out / data_set.folder).exists()
    folder = fetch(data_set, out, archive, keep_archive, _bytes_progress)
    if there:
        typer.echo(f"{name} was there already and is complete", err=True)
    typer.echo(folder)


@contextmanager
def _bytes_progress(title: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
    """Show how far a position in bytes is, in MB."""
    shown = done // MB
    with progress(title, size // MB, "MB", shown) as advance:

        def reach(position: int) -> None:
            nonlocal shown
            for _ in range(shown, position // MB):
                advance()
            shown = max(shown, position // MB)

        yield reach
