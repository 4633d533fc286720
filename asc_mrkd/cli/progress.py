"""Progress of long work: a bar per task in a notebook and on a terminal, plain lines on stderr elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING

from asc_mrkd.cli.terminal import make_console, say, without_reader
from asc_mrkd.files import format_bytes

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_EVERY = 10.0
"""Seconds between two plain lines."""

ESTIMATE_AFTER = 1.0
"""Seconds of steady work after which the time left is estimated."""

UPDATE_EVERY = 0.2
"""Seconds between two updates of a bar in a notebook."""


@contextmanager
def show_progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show how far a task is: the `progress` of every function that takes long.

    It is a bar in a notebook and on a terminal, and a line every ten seconds elsewhere. Several threads may have a task
    each. See `asc_mrkd.progress.Progress` for one of your own.

        store = asc_mrkd.extract("exp/scenes", "exp/store", progress=asc_mrkd.show_progress)

    Args:
        title: name of the task.
        total: units of the whole task.
        unit: plural noun, such as clips; bytes are shown as KB, MB or GB.
        done: units finished before.
    """
    tally = _Tally(title, total, unit, done)
    if in_notebook():
        with _notebook_bar(tally) as advance:
            yield advance
    elif sys.stderr.isatty():
        with _bar(tally) as advance:
            yield advance
    else:
        yield _lines(tally)


def in_notebook() -> bool:
    """Return whether a notebook shows the output of this program: Jupyter, Colab, an editor."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _Tally:
    """Finished units of one task, as numbers and in words."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title = title
        self.total = total
        self.unit = unit
        self.done = done
        self.count = done
        self.note = ""
        self.start = time.monotonic()
        # Time and count after the first units: before them much is loaded and started, once.
        self.first: tuple[float, int] | None = None

    def advance(self, amount: int, note: str | None) -> None:
        """Count units and keep the note."""
        self.count += amount
        if note is not None:
            self.note = note
        if self.first is None:
            self.first = time.monotonic(), self.count

    def left(self) -> str:
        """Return the time left, as in `0:01:20 left`; empty if it is not known."""
        if self.first is None:
            return ""
        start, before = self.first
        seconds = time.monotonic() - start
        finished = self.count - before
        if seconds < ESTIMATE_AFTER or finished <= 0 or self.count >= self.total:
            return ""
        return f"{timedelta(seconds=round(seconds * (self.total - self.count) / finished))} left"

    def amount(self) -> str:
        """Return the finished units, as in `3/12 clips` or `1.2 MB of 20.6 MB`."""
        if self.unit == "bytes":
            return f"{format_bytes(self.count)} of {format_bytes(self.total)}"
        return f"{self.count}/{self.total} {self.unit}"

    def rate(self) -> str:
        """Return the speed, as in `1.5 clips/s`, without the units finished before."""
        per_second = (self.count - self.done) / max(time.monotonic() - self.start, 1e-9)
        if self.unit == "bytes":
            return f"{format_bytes(round(per_second))}/s"
        return f"{per_second:.1f} {self.unit}/s"

    def text(self) -> str:
        """Return all of them, what is left first."""
        parts = (self.left(), self.amount(), self.rate(), self.note)
        return ", ".join(part for part in parts if part)


def _lines(tally: _Tally) -> Callable[..., None]:
    """Return `advance` that prints a line every LINE_EVERY seconds and one at the end."""
    last = tally.start
    has_ended = False

    def advance(amount: int = 1, note: str | None = None) -> None:
        nonlocal last, has_ended
        tally.advance(amount, note)
        now = time.monotonic()
        ends_now = tally.count >= tally.total and not has_ended
        if now - last >= LINE_EVERY or ends_now:
            last = now
            has_ended = has_ended or ends_now
            say(f"{tally.title}: {tally.text()}", err=True)

    return advance


@contextmanager
def _notebook_bar(tally: _Tally) -> Iterator[Callable[..., None]]:
    """Show a bar in the output of a cell; it stays when the task ends."""
    from IPython.display import HTML, display

    bar = display(HTML(_bar_html(tally)), display_id=True)
    last = time.monotonic()

    def advance(amount: int = 1, note: str | None = None) -> None:
        nonlocal last
        tally.advance(amount, note)
        if time.monotonic() - last >= UPDATE_EVERY:
            last = time.monotonic()
            bar.update(HTML(_bar_html(tally)))

    try:
        yield advance
    finally:
        bar.update(HTML(_bar_html(tally)))


def _bar_html(tally: _Tally) -> str:
    """Return a bar and its text; it holds no script, so that a saved notebook shows it too."""
    bar = f'<progress value="{tally.count}" max="{max(tally.total, 1)}" style="width: 12em"></progress>'
    return f"<div>{bar} {escape(tally.title)}: {escape(tally.text())}</div>"


@contextmanager
def _bar(tally: _Tally) -> Iterator[Callable[..., None]]:
    """Show a bar below those of the other tasks; a line stays when the task ends."""
    with _shared_bars() as bars:
        task = bars.add_task(tally.title, total=tally.total, completed=tally.done, text=tally.amount())

        def advance(amount: int = 1, note: str | None = None) -> None:
            tally.advance(amount, note)
            bars.update(task, completed=tally.count, text=tally.text())

        try:
            yield advance
        finally:
            bars.remove_task(task)
            line = f"{tally.title}: {tally.text()}"
            with without_reader(sys.stderr):
                bars.console.print(line, highlight=False, markup=False, soft_wrap=True)


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
                with without_reader(sys.stderr):
                    bars.stop()
                _Terminal.bars = None


def _make_bars() -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[text]}", markup=False),
        console=make_console(err=True),
    )
