"""A progress bar with rate and time left; plain lines where nobody watches."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY = 10.0
"""Seconds between two plain lines."""


@contextmanager
def progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[[], None]]:
    """Show how far a loop is; the function that is yielded counts one more."""
    if sys.stderr.isatty():
        with _bar(title, total, unit, done) as advance:
            yield advance
    else:
        yield _lines(title, total, unit, done)


@contextmanager
def _bar(title: str, total: int, unit: str, done: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    start, count = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, rate="")

        def advance() -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=1, rate=f"{count / max(time.monotonic() - start, 1e-9):.1f} {unit}/s")

        yield advance


def _lines(title: str, total: int, unit: str, done: int) -> Callable[[], None]:
    start = last = time.monotonic()
    count = done

    def advance() -> None:
        nonlocal count, last
        count += 1
        now = time.monotonic()
        if now - last < LINE_EVERY and count < total:
            return
        last = now
        rate = (count - done) / max(now - start, 1e-9)
        left = f", {(total - count) / rate:.0f} s left" if count < total else ""
        print(f"{title}: {count}/{total} {unit}, {rate:.1f} {unit}/s{left}", file=sys.stderr, flush=True)

    return advance
