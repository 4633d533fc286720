"""Training with a progress bar, for the verbs that train."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_mrkd.cli.progress import progress

if TYPE_CHECKING:
    from asc_mrkd.config import Experiment


def train_visibly(
    experiment: "Experiment",
    out: Path,
    seeds: list[int],
    together: bool,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Train some seeds of an experiment into a run folder and show how far they are (see `engine.train.train`)."""
    from asc_mrkd.engine.train import Listener, train

    if not is_first_process():
        return train(experiment, out, seeds, Listener(should_stop=should_stop), together)
    with ExitStack() as bars:
        state: dict[str, Any] = {}

        def on_start(started: list[int], done: int, total: int) -> None:
            bars.close()
            title = f"{out.name} seed {', '.join(map(str, started))}"
            state["advance"] = bars.enter_context(progress(title, total, "steps", done))

        listener = Listener(on_start, lambda: state["advance"](), should_stop)
        train(experiment, out, seeds, listener, together)
    return None


def is_first_process() -> bool:
    """Return whether this process speaks: the only one, or the first of those that `torchrun` has started."""
    return os.environ.get("RANK", "0") == "0"
