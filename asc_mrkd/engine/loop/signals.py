"""The signals that ask a training to save and stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Signal of a terminal that is closed; Windows has none."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))
"""Signals that ask a training to save and stop."""


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether one of STOP_SIGNALS has come; a second signal acts at once.

    A hangup that was ignored before, as under nohup, stays ignored. A signal that is not handled by Python, as where it
    runs inside another program, is left alone.
    """
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before: dict[signal.Signals, Any] = {}
    for number in STOP_SIGNALS:
        handler = signal.getsignal(number)
        is_ignored_hangup = number == HANGUP and handler is signal.SIG_IGN
        if handler is not None and not is_ignored_hangup:
            before[number] = handler
    try:
        for number in before:
            signal.signal(number, remember)
    except ValueError:  # not the main thread, which alone may handle signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
