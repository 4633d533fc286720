"""Pools of processes, on this machine or on a Dask cluster: results in order, and no run lost with a worker."""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from asc_mrkd.errors import ConfigError, MissingExtraError, first_line

Job = TypeVar("Job")
Result = TypeVar("Result")
Task = Callable[[Sequence[Job]], list[Result]]

SECONDS_PER_JOB = 300.0
"""Time limit of a job, long enough for hours of sound on a slow disk. A worker that exceeds it counts as hung."""

ATTEMPTS = 3
"""Attempts at a job whose worker died. The cause may lie elsewhere, as when memory runs out."""

RESTART_SECONDS = 0.1
"""Pause before a broken pool is started again: the system may still be busy ending its processes."""

PREFETCH = 3
"""Chunks per worker that are handed out ahead of the results."""

PRELOADED = ("numpy", "pandas", "scipy.fft", "numba", "soundfile", "soxr", "PIL.Image", "pydantic", "yaml")
"""Slow imports of workers: they are made once for all workers of this machine, where the system can copy processes."""

CONNECT_SECONDS = 20
"""Time limit for a Dask scheduler to answer and to have a worker."""

SAME_EVERYWHERE = ("asc_mrkd", "numpy", "soxr")
"""Packages whose versions decide the bits of features: workers of a cluster need those of this machine."""

MOST_ON_WINDOWS = 61
"""Largest number of worker processes on Windows, which waits for no more things at once."""


@dataclass(frozen=True)
class Pool:
    """Description of a pool of workers; `map_in_order` starts and stops them."""

    start: Callable[[int], Executor]
    """Function that starts an executor with a number of workers."""
    workers: int
    """Number of workers."""
    crash_errors: tuple[type[BaseException], ...] = (BrokenExecutor,)
    """Errors that report the death of a worker; its jobs are tried again one by one."""
    seconds_per_job: float | None = None
    """Time limit of a job (s); None for no limit, as for workers of a cluster."""


def local_pool(workers: int, seconds_per_job: float | None = SECONDS_PER_JOB, imports: Sequence[str] = ()) -> Pool:
    """Return a pool of processes of this machine.

    Args:
        workers: number of processes.
        seconds_per_job: time limit of a job (s), or None.
        imports: names of modules that are imported once for all workers, besides PRELOADED, if this is the first pool
            of this process.

    Raises:
        ConfigError: there is less than one process.
    """
    if workers < 1:
        raise ConfigError(f"{workers} workers are too few", "leave the number out: one process per core is started")
    return Pool(partial(_start_processes, imports=imports), workers, seconds_per_job=seconds_per_job)


@contextmanager
def dask_pool(address: str) -> Iterator[Pool]:
    """Yield the workers of a Dask cluster; they must see the same files under the same paths.

    Args:
        address: address of the scheduler, such as tcp://127.0.0.1:8786.

    Raises:
        MissingExtraError: dask or distributed is not installed.
        ConfigError: no scheduler answers at the address, it has no workers, or a worker lacks one of SAME_EVERYWHERE or
            has another version of it.
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
        require_same_versions(client)
        yield Pool(lambda workers: client.get_executor(pure=False), sum(client.ncores().values()), (KilledWorker,))


def require_same_versions(client: Any) -> None:
    """Refuse workers of a Dask client whose results would differ, or that could not start."""
    for name in SAME_EVERYWHERE:
        ours = import_module(name).__version__
        # `eval` exists on every worker, whatever is installed there.
        versions = client.run(eval, f"__import__({name!r}).__version__", on_error="return")
        for worker, version in versions.items():
            if isinstance(version, BaseException):
                raise ConfigError(
                    f"worker {worker} cannot import {name}: {first_line(version)}", f"install {ours} there"
                )
            if version != ours:
                raise ConfigError(
                    f"worker {worker} has {name} {version}, this machine has {ours}", "install the same version there"
                )


def map_in_order(
    pool: Pool,
    task: Task[Job, Result],
    chunks: Iterable[Sequence[Job]],
    on_crash: Callable[[Job], Result],
) -> Generator[Result, None, None]:
    """Yield the result of every job, in order, computed chunk by chunk by the workers of a pool.

    After the death of a worker its jobs are tried again one by one. An error that a job raises is raised here.

    Args:
        pool: workers, see `local_pool` and `dask_pool`.
        task: function from a chunk to a list with one result per job; it must be importable by its name.
        chunks: chunks of jobs; they are consumed as the work goes on.
        on_crash: function that gives the result of a job that no worker survived, or raises an error.
    """
    workers = _Restarting(pool, pool.workers)
    lone_worker = _Restarting(pool, 1)
    pending: deque[tuple[Sequence[Job], Future[list[Result]]]] = deque()

    def next_results() -> list[Result]:
        chunk, future = pending.popleft()
        try:
            return future.result()
        except pool.crash_errors:
            return [_try_alone(lone_worker, task, job, on_crash) for job in chunk]

    try:
        for chunk in chunks:
            pending.append((chunk, workers.submit(task, chunk)))
            if len(pending) > PREFETCH * pool.workers:
                yield from next_results()
        while pending:
            yield from next_results()
    finally:
        for _, future in pending:
            future.cancel()
        workers.shutdown()
        lone_worker.shutdown()


class _Restarting:
    """An executor that is started on first use, and again after the death of a worker has broken it."""

    def __init__(self, pool: Pool, workers: int) -> None:
        self.pool = pool
        self.workers = workers
        self.executor: Executor | None = None

    def submit(self, task: Task[Job, Result], chunk: Sequence[Job]) -> "Future[list[Result]]":
        """Hand out a chunk."""
        if self.pool.seconds_per_job is not None:
            task = partial(_run_in_time, self.pool.seconds_per_job * len(chunk), task)
        with _hidden_main_script():
            for _ in range(ATTEMPTS):
                try:
                    return self._started().submit(task, chunk)
                except (BrokenExecutor, ConnectionError, EOFError):  # a worker, or the fork server, has died
                    self.shutdown()
                    time.sleep(RESTART_SECONDS)
            _do_without_server()
            return self._started().submit(task, chunk)

    def shutdown(self) -> None:
        """Wait for the chunks in progress and stop the workers."""
        if self.executor is not None:
            self.executor.shutdown()
            self.executor = None

    def _started(self) -> Executor:
        if self.executor is None:
            self.executor = self.pool.start(self.workers)
        return self.executor


def _try_alone(worker: _Restarting, task: Task[Job, Result], job: Job, on_crash: Callable[[Job], Result]) -> Result:
    for _ in range(ATTEMPTS):
        try:
            return worker.submit(task, [job]).result()[0]
        except worker.pool.crash_errors:
            continue
    return on_crash(job)


def _run_in_time(seconds: float, task: Task[Job, Result], chunk: Sequence[Job]) -> list[Result]:
    """Run a task in a worker process; an alarm kills the process after `seconds`, whatever library hangs."""
    if not hasattr(signal, "setitimer"):  # Windows
        return task(chunk)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return task(chunk)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _hidden_main_script() -> Iterator[None]:
    """Keep new processes from running the script of the user again; tasks are importable without it.

    Otherwise every script that calls the library would need `if __name__ == "__main__":`.
    """
    main = vars(sys.modules["__main__"])
    origin: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(origin)


def _start_processes(workers: int, imports: Sequence[str]) -> Executor:
    if sys.platform == "win32":
        workers = min(workers, MOST_ON_WINDOWS)
    return ProcessPoolExecutor(workers, mp_context=_process_context(imports), initializer=_prepare_worker)


NO_SERVER = -1

_server_owner = 0
"""Number of the process that started the fork server; 0 before, NO_SERVER if servers die here."""


def _process_context(imports: Sequence[str] = ()) -> BaseContext:
    """Return the context of new processes.

    They are copies of a small server process, in which slow modules are imported already. A copy of this process itself
    might inherit locked locks and a used GPU. Without such a server (Windows, or a process that was itself forked from
    the one that started it), processes start from nothing.
    """
    global _server_owner
    if "forkserver" not in get_all_start_methods() or _server_owner not in (0, os.getpid()):
        return get_context("spawn")
    _server_owner = os.getpid()
    context = get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *imports])
    return context


def start_early() -> None:
    """Start the server process of local pools now, if there is one, so that it imports PRELOADED in the meantime."""
    if _process_context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def _do_without_server() -> None:
    """Start all further processes from nothing."""
    global _server_owner
    _server_owner = NO_SERVER


def _prepare_worker() -> None:
    """Leave Ctrl-C and a closed terminal to the parent, and end with it: nobody tells the worker if it is killed."""
    for name in ("SIGINT", "SIGHUP"):  # Windows has no hangup
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
