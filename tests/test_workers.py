"""The pool of processes: order, crashes, time limits, errors, and scripts of users."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from asc_mrkd import workers
from asc_mrkd.errors import ConfigError
from asc_mrkd.workers import local_pool, map_in_order


def double(jobs: Sequence[int]) -> list[int]:
    """Work of a test: 13 kills its worker, 17 never ends."""
    if 13 in jobs:
        os.kill(os.getpid(), signal.SIGKILL)
    if 17 in jobs:
        time.sleep(600)
    return [2 * job for job in jobs]


def test_a_job_that_kills_or_hangs_its_worker_is_given_up_alone():
    chunks = [range(start, start + 4) for start in range(0, 40, 4)]
    results = list(map_in_order(local_pool(2, seconds_per_job=0.5), double, chunks, on_crash=lambda job: -job))
    assert results == [-job if job in (13, 17) else 2 * job for job in range(40)]


def give_up(jobs: Sequence[int]) -> list[int]:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_pool_has_a_worker():
    with pytest.raises(ConfigError, match="-1 workers are too few"):
        local_pool(-1)


def test_an_error_of_the_work_itself_comes_through():
    with pytest.raises(OSError, match="No space left"):
        list(map_in_order(local_pool(1), give_up, [[1], [2], [3]], on_crash=lambda job: job))


SCRIPT = """
from pathlib import Path
from asc_mrkd import make_images
print(len(list(make_images("set", classes=2, per_class=3, workers=2).rglob("*.png"))))
"""


def test_a_script_needs_no_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "6\n"


def numbers_of_processes(jobs: Sequence[int]) -> list[int]:
    return [os.getpid() for _ in jobs]


def run_pool(queue: multiprocessing.SimpleQueue) -> None:
    """Run a pool in a process that was forked from one that has a fork server."""
    queue.put(list(map_in_order(local_pool(1), double, [[1], [2]], on_crash=lambda job: 0)))


def test_a_forked_process_has_pools_of_its_own():
    list(map_in_order(local_pool(1), double, [[1]], on_crash=lambda job: 0))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=run_pool, args=(queue,))
    process.start()
    assert queue.get() == [2, 4]
    process.join()


def test_a_pool_survives_the_death_of_all_its_processes(monkeypatch):
    monkeypatch.setattr(workers, "PRELOADED", ("numpy",))  # the next server starts quickly
    results = map_in_order(local_pool(1), numbers_of_processes, [[job] for job in range(12)], on_crash=lambda job: 0)
    first = next(results)
    for process in (psutil.Process(first).parent(), psutil.Process(first)):
        process.kill()
    rest = list(results)
    assert all(rest)
    assert rest[-1] != first


def test_a_pool_does_without_a_fork_server_that_always_dies(monkeypatch):
    monkeypatch.setattr(workers, "_server_owner", os.getpid())
    begun = []

    class Dying(ThreadPoolExecutor):
        def submit(self, *arguments):
            begun.append(workers._server_owner)
            if workers._server_owner != workers.NO_SERVER:
                raise EOFError("unexpected EOF")
            return super().submit(*arguments)

    pool = workers.Pool(Dying, 1)
    assert list(map_in_order(pool, double, [[1], [2]], on_crash=lambda job: 0)) == [2, 4]
    assert begun == [os.getpid()] * 3 + [workers.NO_SERVER] * 2
