"""The exclusive lock of a folder, on file systems and systems that offer more or less."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import pytest
from helpers.files import names_in, refusing

from asc_mrkd import locks
from asc_mrkd.errors import AscMrkdError, DataError, DiskFullError
from asc_mrkd.files import write_text
from asc_mrkd.locks import LOCK, exclusive_lock

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


def test_f3_1_a_full_disk_has_no_room_for_a_lock_either(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", refusing(errno.ENOSPC))
    message = r"\.lock cannot be written: the disk is full, \d+ bytes are missing"
    with pytest.raises(DiskFullError, match=message), exclusive_lock(tmp_path):
        pass
    assert not names_in(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_t6_without_flock_the_work_goes_on_after_one_warning(tmp_path, monkeypatch, number):
    monkeypatch.setattr(locks.locks_of_unix, "flock", refusing(number))
    with pytest.warns(UserWarning, match="has no locks") as warned, exclusive_lock(tmp_path):
        write_text(tmp_path / "a.txt", "first")
    assert len(warned) == 1
    with warnings.catch_warnings(action="error"), exclusive_lock(tmp_path):
        write_text(tmp_path / "a.txt", "second")
    assert names_in(tmp_path) == {"a.txt"}
    (tmp_path / LOCK).write_text(f"process {os.getppid()} on {locks.socket.gethostname()}")
    with pytest.raises(AscMrkdError, match=f"written by process {os.getppid()} on "), exclusive_lock(tmp_path):
        pass
    (tmp_path / LOCK).write_text(f"process 999999999 on {locks.socket.gethostname()}")
    with exclusive_lock(tmp_path):
        pass


def test_f3_6_locks_of_windows(tmp_path, monkeypatch):
    fcntl = locks.locks_of_unix
    places = []

    def locking(descriptor: int, mode: int, size: int) -> None:
        places.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    monkeypatch.setattr(locks, "locks_of_unix", None)
    monkeypatch.setattr(locks, "locks_of_windows", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    with exclusive_lock(tmp_path):
        write_text(tmp_path / "a.txt", "whole")
        with pytest.raises(AscMrkdError, match=f"process {os.getpid()} on "), exclusive_lock(tmp_path):
            pass
    assert names_in(tmp_path) == {"a.txt"}
    assert set(places) == {locks.LOCKED_BYTE}


def test_f3_6_files_are_written_without_fcntl(tmp_path):
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from asc_mrkd.files import write_text\n"
        "from asc_mrkd.locks import exclusive_lock\n"
        "from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with exclusive_lock(folder): write_text(folder / 'a.txt', 'whole')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "has no locks" in done.stderr
    assert names_in(tmp_path) == {"a.txt"}


def test_a_lock_of_another_user_is_refused_with_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / LOCK
    path.write_text("process 12 on elsewhere")
    monkeypatch.setattr(os, "open", refusing(errno.EACCES, lambda opened, *_: Path(opened) == path, os.open))
    message = "being written by process 12 on elsewhere, or was when that process ended"
    with pytest.raises(DataError, match=message) as caught, exclusive_lock(tmp_path, DataError, "wait for it"):
        pass
    assert caught.value.hint == f"wait for it; if that process has ended, remove {path}"
    path.unlink()
    with pytest.raises(PermissionError), exclusive_lock(tmp_path):
        pass


def test_a_file_of_the_user_that_is_called_lock_stays(tmp_path):
    (tmp_path / "lock").write_text("mine")
    with exclusive_lock(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "mine"
    assert names_in(tmp_path) == {"lock"}
