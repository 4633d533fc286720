"""Handing out work to local processes or to a Dask cluster: results in order, and no run lost with a worker."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import TypeVar

from asc_mrkd.errors import ConfigError, MissingExtraError, first_line

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Job = TypeVar("Job")
Result = TypeVar("Result")
Task = Callable[[Sequence[Job]], list[Result]]

SECONDS_A_JOB = 60.0
"""A worker that takes longer is taken for hung and killed."""

ATTEMPTS = 3
"""How often a job is tried alone: a death may come from outside, as when memory runs out."""

AHEAD = 3
"""Chunks a worker that wait for it; results are kept until those before them are there."""

CONNECT_SECONDS = 20
"""How long a Dask scheduler may take to answer and to have a worker."""


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        start: gives an executor of so many workers.
        workers: how many there are.
        deaths: the errors that tell that a worker died; its jobs are tried again, one by one.
        seconds_a_job: how long a job may take; None where processes are not ours to kill.
    """

    start: Callable[[int], Executor]
    workers: int
    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)
    seconds_a_job: float | None = None


def local_crew(workers: int, seconds_a_job: float = SECONDS_A_JOB) -> Crew:
    """Return a crew of processes of this machine."""
    return Crew(_start_processes, workers, seconds_a_job=seconds_a_job)


@contextmanager
def dask_crew(address: str) -> Iterator[Crew]:
    """Yield the workers of a Dask cluster; they must see the same files under the same paths.

    Args:
        address: of the scheduler, such as tcp://127.0.0.1:8786.

    Raises:
        MissingExtraError: dask and distributed are not installed.
        ConfigError: no scheduler answers there, or it has no workers.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise MissingExtraError(
            f"--scheduler needs Dask: {first_line(error)}", "pip install 'asc-mrkd[cluster]'"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address}: {first_line(error)}", "start one: dask scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ConfigError(f"{address} has no workers", f"start some: dask worker {address}") from None
        yield Crew(lambda count: client.get_executor(pure=False), sum(client.ncores().values()), (KilledWorker,))


def in_order(
    crew: Crew,
    task: Task[Job, Result],
    chunks: Iterable[Sequence[Job]],
    lost: Callable[[Job], Result],
) -> Iterator[Result]:
    """Yield the result of every job, in order, computed chunk by chunk by the crew.

    When a worker dies, the jobs that went down with it are tried alone; one that no worker survives is given up.

    Args:
        crew: who works.
        task: turns a chunk into a result a job; a function that can be pickled.
        chunks: what there is to do; only as many are drawn as can be worked on.
        lost: gives the result of a job that was given up.
    """
    pool, lone = _Pool(crew, crew.workers), _Pool(crew, 1)
    under_way: deque[tuple[Sequence[Job], Future[list[Result]]]] = deque()

    def collect() -> list[Result]:
        chunk, future = under_way.popleft()
        try:
            return future.result()
        except crew.deaths:
            return [_alone(lone, task, job, lost) for job in chunk]

    try:
        for chunk in chunks:
            under_way.append((chunk, pool.submit(task, chunk)))
            if len(under_way) > AHEAD * crew.workers:
                yield from collect()
        while under_way:
            yield from collect()
    finally:
        for _, future in under_way:
            future.cancel()
        pool.close()
        lone.close()


class _Pool:
    """An executor that is started when it is needed, and again when a worker's death has broken it."""

    def __init__(self, crew: Crew, workers: int) -> None:
        self.crew, self.workers = crew, workers
        self.executor: Executor | None = None

    def submit(self, task: Task[Job, Result], chunk: Sequence[Job]) -> "Future[list[Result]]":
        """Hand out a chunk."""
        if self.crew.seconds_a_job is not None:
            task = partial(_in_time, self.crew.seconds_a_job * len(chunk), task)
        try:
            return self._running().submit(task, chunk)
        except BrokenExecutor:
            self.close()
            return self._running().submit(task, chunk)

    def close(self) -> None:
        """Wait for what has begun."""
        if self.executor is not None:
            self.executor.shutdown()
            self.executor = None

    def _running(self) -> Executor:
        if self.executor is None:
            self.executor = self.crew.start(self.workers)
        return self.executor


def _alone(pool: _Pool, task: Task[Job, Result], job: Job, lost: Callable[[Job], Result]) -> Result:
    for _ in range(ATTEMPTS):
        try:
            return pool.submit(task, [job]).result()[0]
        except pool.crew.deaths:
            continue
    return lost(job)


def _in_time(seconds: float, task: Task[Job, Result], chunk: Sequence[Job]) -> list[Result]:
    """Do a chunk in a worker process; the alarm ends the process, whatever library hangs."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return task(chunk)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _start_processes(count: int) -> Executor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it was killed: nobody would tell the worker otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
