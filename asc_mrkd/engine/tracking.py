"""Trackers of experiments: programs that show the metrics of the log while a run is trained."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib import import_module
from typing import Any, Protocol

from asc_mrkd.config import Experiment
from asc_mrkd.errors import MissingExtraError, first_line, list_of, require_known
from asc_mrkd.runs import RunFolder
from asc_mrkd.schema import flatten

NOT_SHOWN = ("seed", "epoch", "epochs", "step")
"""Values of the log that say where in the training a line is."""


class Tracker(Protocol):
    """A program that is given the metrics of one seed."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Show the values of one epoch, as they are in the log."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in the seed folder: `tensorboard --logdir RUN`."""

    library = "torch.utils.tensorboard"
    """Module that it needs."""

    def __init__(self, run: RunFolder, experiment: Experiment, seed: int) -> None:
        writer = import_library("tensorboard", self.library).SummaryWriter
        # Values of an earlier start are purged: those of its checkpoint are given again.
        self._writer = writer(str(run.seed_folder(seed).path / "tensorboard"), purge_step=1)

    def log(self, record: Mapping[str, Any]) -> None:
        """Write every value of the epoch."""
        for name, value in shown_values(record).items():
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class Trackio:
    """A run of trackio per seed, in the project with the name of the run folder: `trackio show`."""

    library = "trackio"
    """Module that it needs."""

    def __init__(self, run: RunFolder, experiment: Experiment, seed: int) -> None:
        trackio = import_library("trackio", self.library)
        folder = run.path.resolve()
        name = f"seed{seed}"
        if experiment.data.fold is not None:
            name = f"{folder.name}-{name}"
            folder = folder.parent
        settings = {key: value for key, value in flatten(experiment.model_dump()).items() if value is not None}
        with redirect_stdout(sys.stderr):
            self._run = trackio.init(
                project=folder.name, name=name, config=settings, resume="allow", auto_log_cpu=False, auto_log_gpu=False
            )

    def log(self, record: Mapping[str, Any]) -> None:
        """Log every value of the epoch."""
        self._run.log(shown_values(record), step=record["epoch"])

    def close(self) -> None:
        """Finish the run."""
        with redirect_stdout(sys.stderr):
            self._run.finish()


TRACKERS: dict[str, type[TensorBoard] | type[Trackio]] = {"tensorboard": TensorBoard, "trackio": Trackio}
"""The trackers by name."""


def import_library(name: str, module: str) -> Any:
    """Import a library of the extra `tracking`.

    Raises:
        MissingExtraError: the library is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the tracker {name} is not installed: {first_line(error)}", "pip install 'asc-mrkd[tracking]'"
        ) from None


def require_trackers(names: Iterable[str]) -> None:
    """Refuse trackers that do not exist or are not installed.

    Raises:
        ConfigError: unknown tracker.
        MissingExtraError: its library is not installed.
    """
    for name in list_of(names, "track"):
        require_known(name, TRACKERS, "tracker")
        import_library(name, TRACKERS[name].library)


@contextmanager
def trackers_opened(
    names: Sequence[str], run: RunFolder, experiment: Experiment, seed: int, records: Iterable[Mapping[str, Any]]
) -> Iterator[list[Tracker]]:
    """Open trackers for a seed, and close them at the end, also of an interrupted training.

    TensorBoard, which forgets an earlier start, is given the finished epochs again.

    Args:
        names: names of trackers.
        run: run folder.
        experiment: experiment that is trained.
        seed: seed of the training.
        records: log of the epochs that were finished before.
    """
    with ExitStack() as stack:
        trackers: list[Tracker] = []
        for name in names:
            tracker = TRACKERS[name](run, experiment, seed)
            stack.callback(tracker.close)
            trackers.append(tracker)
            if isinstance(tracker, TensorBoard):
                for record in records:
                    tracker.log(record)
        yield trackers


def shown_values(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of the log.

    >>> shown_values({"seed": 0, "epoch": 1, "loss": 0.5, "test_accuracy": None})
    {'loss': 0.5}
    """
    return {
        name: float(value) for name, value in record.items() if name not in NOT_SHOWN and isinstance(value, int | float)
    }
