"""Training of an experiment at every combination of some values, one after the other or side by side."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asc_mrkd.config import Experiment
from asc_mrkd.config.grid import Point, grid
from asc_mrkd.engine.checks import open_trainable
from asc_mrkd.engine.loop.parallel import launched_processes
from asc_mrkd.engine.loop.signals import stop_on_signal
from asc_mrkd.engine.training import train
from asc_mrkd.errors import ConfigError, InterruptedRun, NonFiniteError, RunError
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.methods import load_experiment
from asc_mrkd.notebook import shown_by
from asc_mrkd.progress import Progress, no_progress, titled
from asc_mrkd.runs import RunFolder
from asc_mrkd.workers import Pool, dask_pool, local_pool, map_in_order

STOP_FILE = ".stop"
"""Name of the file in the folder of a sweep that asks its workers to save and stop."""

STOP_CHECK_SECONDS = 0.2
"""Time between two looks at the signals, or at the file that stands for them (s)."""

SLOW_IMPORTS = ("asc_mrkd.engine.training", "torch._dynamo")
"""Modules that workers import before their first step; the optimiser needs the second."""


@dataclass(frozen=True)
class TrainedPoint:
    """One point of a sweep after its training."""

    values: dict[str, str]
    """The swept keys and their values at this point, as typed."""
    experiment: Experiment
    """The experiment with these values."""
    run: RunFolder
    """Its run folder."""
    failure: str = ""
    """Reason why the training failed; empty if it is complete."""


class Sweep(list[TrainedPoint]):
    """The points of a sweep in their order; a notebook shows their scores.

    Args:
        points: the points.
        seeds: seeds of every point.
    """

    def __init__(self, points: Iterable[TrainedPoint], seeds: Sequence[int]) -> None:
        super().__init__(points)
        self.seeds = list(seeds)

    _repr_html_ = shown_by("asc_mrkd.report.notebook", "sweep_html")


def sweep(
    conf: str | os.PathLike[str],
    overrides: Sequence[str],
    out: str | os.PathLike[str],
    seeds: Sequence[int] | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> Sweep:
    """Train an experiment at every combination of the values of some keys.

    Every point gets a run folder in `out`; finished seeds are left as they are, the same call again continues. All
    points are checked before the first is trained. A point whose loss becomes NaN or infinite is reported, the others
    are trained.

    Args:
        conf: experiment file.
        overrides: `key=a,b,...` to sweep over, and `key=value` for all points.
        out: folder of the sweep.
        seeds: seeds to train at every point; None takes those of the experiment.
        jobs: points trained side by side, each in its own process and with `train.threads` threads, 1 if unset. The
            numbers are those of points trained in turn with as many threads.
        scheduler: address of a Dask scheduler whose workers train the points, such as tcp://127.0.0.1:8786. They see
            the same files under the same paths; a worker process trains one point at a time.
        progress: reports the steps of every seed, or finished points where several are trained side by side.

    Returns:
        The points in their order.

    Raises:
        ConfigError, StoreError, DataError, ModelError, RunError: a point cannot be trained; nothing was written.
        RunError: another process trains a seed of a point, or sweeps in the same folder.
        InterruptedRun: SIGINT, SIGTERM or SIGHUP has come; the state is saved.

    Example:
        >>> sweep("conf.yaml", ["method.interval=0.05,0.125"], "exp/sweep", jobs=2)  # doctest: +SKIP
    """
    points = load_points(conf, overrides)
    _, first = points[0]
    seeds = first.seeds if seeds is None else first.with_seeds(seeds).seeds
    side_by_side = jobs > 1 or scheduler is not None
    todo: list[TrainedPoint] = []
    for point, experiment in points:
        if side_by_side:
            experiment = _with_counted_threads(experiment)
        todo.append(TrainedPoint(point.values, experiment, RunFolder(Path(out) / point.name)))
    for one in todo:
        open_trainable(one.experiment, one.run)
    if not side_by_side:
        with _only_sweep_in(Path(out)):
            return Sweep(_train_in_turn(todo, seeds, progress), seeds)
    if launched_processes() > 1:
        raise ConfigError("torchrun and several jobs cannot be combined", "leave out --jobs and --scheduler")
    with _open_pool(min(jobs, len(todo)), scheduler) as pool:
        return Sweep(_train_side_by_side(pool, Path(out), todo, seeds, progress), seeds)


def load_points(path: str | os.PathLike[str], overrides: Sequence[str]) -> list[tuple[Point, Experiment]]:
    """Read an experiment at every point of `grid`.

    Raises:
        ConfigError: as from `grid` and `load_experiment`, naming the point; or two points are the same experiment.
    """
    points: list[tuple[Point, Experiment]] = []
    for point in grid(overrides):
        try:
            experiment = load_experiment(path, point.overrides)
        except ConfigError as error:
            raise ConfigError(f"point {point.name}: {error}", error.hint) from None
        for other, theirs in points:
            if theirs == experiment:
                raise ConfigError(
                    f"{other.name} and {point.name} are the same experiment",
                    "give every value once, and a section before its keys: method=mrkd method.interval=0.05,0.5",
                )
        points.append((point, experiment))
    return points


def _with_counted_threads(experiment: Experiment) -> Experiment:
    """Return the experiment with its number of threads, on which the last digits depend; 1 if it is unset."""
    settings = experiment.train.model_copy(update={"threads": experiment.train.threads or 1})
    return experiment.model_copy(update={"train": settings})


def _train_in_turn(points: Sequence[TrainedPoint], seeds: Sequence[int], progress: Progress) -> list[TrainedPoint]:
    trained: list[TrainedPoint] = []
    with stop_on_signal() as should_stop:
        for number, point in enumerate(points, start=1):
            title = f"point {number} of {len(points)}"
            if should_stop():  # the signal came in the last step of a point
                raise InterruptedRun(f"stopped before {title}: {point.run.path.name}", "the same command continues")
            if not point.run.pending_seeds(seeds):
                with progress(f"{title}: {point.run.path.name} is trained", len(seeds), "seeds") as advance:
                    advance(len(seeds))
            trained.append(_train_point(point, seeds, titled(progress, title), should_stop))
    return trained


def _only_sweep_in(out: Path) -> AbstractContextManager[None]:
    """Keep other sweeps out of a folder; of the processes of torchrun, the first one does so."""
    if launched_processes() > 1 and os.environ["RANK"] != "0":
        return nullcontext()
    out.mkdir(parents=True, exist_ok=True)
    return exclusive_lock(out, RunError)


def _train_point(
    point: TrainedPoint, seeds: Sequence[int], progress: Progress, should_stop: Callable[[], bool]
) -> TrainedPoint:
    """Train a point and return it, with the reason if its loss was not finite."""
    try:
        train(point.experiment, point.run, seeds, progress=progress, should_stop=should_stop)
    except NonFiniteError as error:
        return replace(point, failure=str(error))
    return point


def _open_pool(jobs: int, scheduler: str | None) -> AbstractContextManager[Pool]:
    if scheduler is None:
        return nullcontext(local_pool(jobs, seconds_per_job=None, imports=SLOW_IMPORTS))
    return dask_pool(scheduler)


def _train_side_by_side(
    pool: Pool, out: Path, points: Sequence[TrainedPoint], seeds: Sequence[int], progress: Progress
) -> list[TrainedPoint]:
    out = out.absolute()
    stop_file = out / STOP_FILE
    jobs = [[replace(point, run=RunFolder(out / point.run.path.name))] for point in points]
    task = partial(_train_chunk, list(seeds), stop_file)
    trained: list[TrainedPoint] = []
    with (
        _only_sweep_in(out),
        _stop_file_on_signal(stop_file),
        closing(map_in_order(pool, task, jobs, _report_crash)) as results,
        progress(out.name, len(points), "points") as advance,
    ):
        try:
            for point, result in zip(points, results, strict=True):
                if result is None:
                    raise InterruptedRun(
                        f"stopped; the run folders in {out} hold the state", "the same command continues"
                    )
                trained.append(replace(point, failure=result.failure))
                advance()
        except BaseException:
            stop_file.touch()  # the other points are saved
            raise
    return trained


def _train_chunk(seeds: Sequence[int], stop_file: Path, points: Sequence[TrainedPoint]) -> list[TrainedPoint | None]:
    """Train points in a worker process; None stands for an interrupted point."""
    trained: list[TrainedPoint | None] = []
    for point in points:
        try:
            trained.append(_train_point(point, seeds, no_progress, _when_exists(stop_file)))
        except InterruptedRun:
            trained.append(None)
    return trained


def _report_crash(point: TrainedPoint) -> TrainedPoint:
    return replace(point, failure="the process that trained it died, several times")


def _when_exists(file: Path) -> Callable[[], bool]:
    """Return a function that returns whether the file exists, and looks for it from time to time only."""
    looked = -STOP_CHECK_SECONDS
    exists = False

    def ask() -> bool:
        nonlocal looked, exists
        now = time.monotonic()
        if not exists and now - looked >= STOP_CHECK_SECONDS:
            looked = now
            exists = file.exists()
        return exists

    return ask


@contextmanager
def _stop_file_on_signal(stop_file: Path) -> Iterator[None]:
    """Write the file when a signal to stop comes, and remove it at the end.

    A file reaches the processes of this machine and the workers of a cluster, which see the same folders.
    """
    finished = threading.Event()
    stop_file.unlink(missing_ok=True)

    def watch(should_stop: Callable[[], bool]) -> None:
        while not finished.wait(STOP_CHECK_SECONDS):
            if should_stop():
                stop_file.touch()
                return

    with stop_on_signal() as should_stop:
        watcher = threading.Thread(target=watch, args=(should_stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            stop_file.unlink(missing_ok=True)
