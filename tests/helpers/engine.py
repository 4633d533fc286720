"""Training within this process, with a polite stop where a test wants one."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asc_mrkd.engine.training import train
from asc_mrkd.methods import load_experiment
from asc_mrkd.progress import Progress


def train_run(
    conf: Path,
    out: Path,
    *overrides: str,
    seeds: Sequence[int] = (0,),
    stop_after: int | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Path:
    """Train into a run folder and return it; with `stop_after` a signal comes after that many steps."""
    train(load_experiment(conf, list(overrides)), out, seeds, progress=terminate_after(stop_after, stop_signal))
    return out


def terminate_after(steps: int | None, number: signal.Signals = signal.SIGTERM) -> Progress:
    """Return a progress that sends this process a signal after that many steps; None never does."""
    count = 0

    def advance(amount: int = 1, note: str | None = None) -> None:
        nonlocal count
        count += amount
        if count == steps:
            os.kill(os.getpid(), number)

    @contextmanager
    def progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
        yield advance

    return progress
