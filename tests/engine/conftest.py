"""Training in this process, with a polite stop where a test wants one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from asc_mrkd.config import load_experiment
from asc_mrkd.engine.train import Listener, train


@pytest.fixture
def run() -> Callable[..., Path]:
    """Return a function that trains; with `stop_after` a SIGTERM comes after that many steps."""

    def run(
        conf: Path, out: Path, *overrides: str, seeds=(0,), stop_after: int | None = None, together: bool = False
    ) -> Path:
        count = 0

        def on_step() -> None:
            nonlocal count
            count += 1
            if count == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)

        train(load_experiment(conf, list(overrides)), out, list(seeds), Listener(on_step=on_step), together)
        return out

    return run
