"""The pool of processes: order, crashes, time limits, errors, and scripts of users."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

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
