"""Several downloads and archives at once: a bar for each on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from asc_mrkd.cli.progress import progress

if TYPE_CHECKING:
    from rich.progress import Progress

MB = 1_000_000

Transfers = Callable[[str, int, int], AbstractContextManager[Callable[[int], None]]]
"""transfers(title, bytes, bytes done) gives a function that is told the position in bytes; from any thread."""


@contextmanager
def transfers(prefix: str = "") -> Iterator[Transfers]:
    """Show transfers as long as the block runs.

    Args:
        prefix: what all titles have in common; it is not shown.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), DownloadColumn(), SpeedColumn())
        with Progress(*columns, TimeRemainingColumn(compact=True), console=Console(stderr=True)) as bars:
            yield partial(_bar, bars, prefix)
    else:
        yield partial(_lines, prefix)


@contextmanager
def _bar(bars: "Progress", prefix: str, title: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
    title, last = title.replace(prefix, ""), done
    task = bars.add_task(title, total=size, completed=done)

    def reach(position: int) -> None:
        nonlocal last
        last = position
        bars.update(task, completed=position)

    try:
        yield reach
        if last >= size:
            bars.console.print(f"{title}: done", highlight=False)
    finally:
        bars.remove_task(task)


@contextmanager
def _lines(prefix: str, title: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
    shown = done // MB
    with progress(title.replace(prefix, ""), -(-size // MB), "MB", shown) as advance:

        def reach(position: int) -> None:
            nonlocal shown
            megabytes = -(-position // MB) if position >= size else position // MB
            for _ in range(shown, megabytes):
                advance()
            shown = max(shown, megabytes)

        yield reach
