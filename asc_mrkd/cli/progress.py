"""Progress of long work on stderr: a bar per task on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asc_mrkd.files import format_bytes

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_EVERY = 10.0
"""Seconds between two plain lines."""


@contextmanager
def progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show how far a task is (see `asc_mrkd.progress.Progress`); several threads may have a task each.

    Args:
        title: name of the task.
        total: units of the whole task.
        unit: plural noun, such as clips; bytes are shown as KB, MB or GB.
        done: units finished before.
    """
    tally = _Tally(title, total, unit, done)
    if sys.stderr.isatty():
        with _bar(tally) as advance:
            yield advance
    else:
        yield _lines(tally)


class _Tally:
    """Finished units of one task, as numbers and in words."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title = title
        self.total = total
        self.unit = unit
        self.done = done
        self.count = done
        self.start = time.monotonic()

    @property
    def per_second(self) -> float:
        """Units per second, without those finished before."""
        return (self.count - self.done) / max(time.monotonic() - self.start, 1e-9)

    def amount(self) -> str:
        """Return the finished units, as in `3/12 clips` or `1.2 MB of 20.6 MB`."""
        if self.unit == "bytes":
            return f"{format_bytes(self.count)} of {format_bytes(self.total)}"
        return f"{self.count}/{self.total} {self.unit}"

    def rate(self) -> str:
        """Return the speed, as in `1.5 clips/s`."""
        if self.unit == "bytes":
            return f"{format_bytes(round(self.per_second))}/s"
        return f"{self.per_second:.1f} {self.unit}/s"

    def line(self) -> str:
        """Return everything in one line, with the time left if there is any."""
        left = ""
        if self.count < self.total and self.per_second > 0:
            left = f", {(self.total - self.count) / self.per_second:.0f} s left"
        return f"{self.title}: {self.amount()}, {self.rate()}{left}"


def _lines(tally: _Tally) -> Callable[..., None]:
    """Return `advance` that prints a line every LINE_EVERY seconds and one at the end."""
    last = tally.start

    def advance(amount: int = 1) -> None:
        nonlocal last
        tally.count += amount
        now = time.monotonic()
        if now - last >= LINE_EVERY or tally.count >= tally.total:
            last = now
            print(tally.line(), file=sys.stderr, flush=True)

    return advance


@contextmanager
def _bar(tally: _Tally) -> Iterator[Callable[..., None]]:
    """Show a bar below those of the other tasks; a line stays when the task ends."""
    with _shared_bars() as bars:
        task = bars.add_task(
            tally.title, total=tally.total, completed=tally.done, amount=tally.amount(), rate=tally.rate()
        )

        def advance(amount: int = 1) -> None:
            tally.count += amount
            bars.update(task, completed=tally.count, amount=tally.amount(), rate=tally.rate())

        try:
            yield advance
        finally:
            bars.remove_task(task)
            bars.console.print(tally.line(), highlight=False, markup=False, soft_wrap=True)


class _Terminal:
    """The bars on the terminal, which has room for one display only."""

    lock = threading.Lock()
    bars: "Progress | None" = None
    tasks = 0


@contextmanager
def _shared_bars() -> "Iterator[Progress]":
    """Start the display with the first task and stop it after the last."""
    with _Terminal.lock:
        if _Terminal.bars is None:
            _Terminal.bars = _make_bars()
            _Terminal.bars.start()
        _Terminal.tasks += 1
        bars = _Terminal.bars
    try:
        yield bars
    finally:
        with _Terminal.lock:
            _Terminal.tasks -= 1
            if _Terminal.tasks == 0:
                bars.stop()
                _Terminal.bars = None


def _make_bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[amount]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
