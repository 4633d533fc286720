"""SIGINT and SIGTERM as a question that a loop asks between two steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def politely_interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an answer `True`; the second one acts at once."""
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, remember)
    except ValueError:  # not the main thread: the caller looks after signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
