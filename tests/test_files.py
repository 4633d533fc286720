"""Files: the exclusive lock of a folder."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from asc_mrkd.errors import DataError
from asc_mrkd.files import LOCK, exclusive_lock

fork = multiprocessing.get_context("fork")


def hold_until_killed(folder: Path) -> None:
    with exclusive_lock(folder):
        os.kill(os.getpid(), signal.SIGKILL)


def test_lock_of_a_killed_process_is_taken_over(tmp_path):
    holder = fork.Process(target=hold_until_killed, args=(tmp_path,))
    holder.start()
    holder.join()
    assert (tmp_path / LOCK).read_text().startswith(f"process {holder.pid} on ")
    with exclusive_lock(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_a_held_lock_is_refused_with_its_owner_and_the_hint(tmp_path):
    with (
        exclusive_lock(tmp_path),
        pytest.raises(DataError, match=f"is being written by process {os.getpid()} on ") as caught,
        exclusive_lock(tmp_path, DataError, "wait for it"),
    ):
        pass
    assert caught.value.hint == "wait for it"
    assert not (tmp_path / LOCK).exists()


def test_waiting_locks_take_turns(tmp_path):
    inside = []

    def count() -> None:
        for _ in range(20):
            with exclusive_lock(tmp_path, wait=True):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside
    assert not (tmp_path / LOCK).exists()
