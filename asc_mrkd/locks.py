"""Locks of folders between processes, on file systems and systems that offer more or less."""

import errno
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from asc_mrkd.errors import DISK_FULL, AscMrkdError, no_room

locks_of_unix: Any
locks_of_windows: Any
try:
    import fcntl as locks_of_unix
except ImportError:
    locks_of_unix = None
try:
    import msvcrt as locks_of_windows
except ImportError:
    locks_of_windows = None

LOCK = ".lock"
"""Name of the file that `exclusive_lock` locks and that names the owner."""

READ_AND_WRITE = 0o666
"""Permissions of a new file, of which the system takes away those of the umask."""

NO_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems without locks."""

LOCKED_BYTE = 2**30
"""Position of the byte that Windows locks: far behind the text, which others may then read."""

POLL_SECONDS = 0.01
"""Pause between two attempts at a lock that another process holds."""


@contextmanager
def exclusive_lock(
    folder: Path,
    error: type[AscMrkdError] = AscMrkdError,
    hint: str = "wait for it, or choose another --out",
    *,
    wait: bool = False,
) -> Iterator[None]:
    """Lock a folder against other processes that ask for the same lock.

    The locked file `folder`/.lock names the owner. The kernel releases the lock when its owner ends, even by a kill.

    Args:
        folder: an existing folder.
        error: type of the error if another process holds the lock.
        hint: hint of that error.
        wait: wait until the lock is free instead of raising the error.

    Raises:
        AscMrkdError: another process holds the lock, or one of another user has left it; the message names its number
            and its host.
        DiskFullError: the disk is full.
    """
    path = folder / LOCK
    try:
        descriptor = open_locked(path, wait)
    except PermissionError:
        if not path.exists():  # no file may be written into this folder
            raise
        raise error(
            f"{folder} is being written by {_owner(path)}, or was when that process ended: its lock is of another user",
            f"{hint}; if that process has ended, remove {path}",
        ) from None
    except NoLocks:
        warn_without_locks(folder)
        descriptor = _open_unlocked(path, wait)
    if descriptor is None:
        raise error(f"{folder} is being written by {_owner(path)}", hint)
    try:
        _write_own_name(descriptor, path)
        yield
    finally:
        with suppress(PermissionError):  # Windows removes no open file; it is locked again the next time
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _write_own_name(descriptor: int, path: Path) -> None:
    """Replace the text of a lock by the name of this process."""
    name = f"process {os.getpid()} on {socket.gethostname()}".encode()
    os.ftruncate(descriptor, 0)
    try:
        os.write(descriptor, name)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise no_room(path, error.errno, f"{len(name)} bytes are missing") from None


def open_locked(path: Path, wait: bool) -> int | None:
    """Open and lock the file `path`, or return None if another process holds the lock.

    Raises:
        NoLocks: the file system has no locks.
    """
    while True:
        # A file for writing: network disks refuse to lock a folder.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, READ_AND_WRITE)
        try:
            is_locked = _lock(descriptor, wait)
        except BaseException:
            os.close(descriptor)
            raise
        if is_locked and _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)
        if not is_locked:
            return None


class NoLocks(Exception):
    """The file system, or the system, has no locks."""


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file until it is closed; return False if another process holds it."""
    while not _lock_now(descriptor):
        if not wait:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _lock_now(descriptor: int) -> bool:
    if locks_of_unix is None and locks_of_windows is None:
        raise NoLocks
    try:
        if locks_of_unix is not None:
            locks_of_unix.flock(descriptor, locks_of_unix.LOCK_EX | locks_of_unix.LOCK_NB)
        else:
            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            locks_of_windows.locking(descriptor, locks_of_windows.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise NoLocks from None
        raise
    return True


def _open_unlocked(path: Path, wait: bool) -> int | None:
    """Open `path` unless a living process of this machine is named in it: all that can be known without locks."""
    while _is_alive(_owner(path)):
        if not wait:
            return None
        time.sleep(POLL_SECONDS)
    return os.open(path, os.O_RDWR | os.O_CREAT, READ_AND_WRITE)


def _is_alive(owner: str) -> bool:
    """Return whether an owner, as a lock file names it, is another running process of this machine."""
    number = owner.removeprefix("process ").partition(" ")[0]
    is_here = number.isdecimal() and owner.endswith(f" on {socket.gethostname()}")
    if not is_here or int(number) == os.getpid() or os.name == "nt":  # os.kill of Windows would end it
        return False
    try:
        os.kill(int(number), 0)
    except PermissionError:  # it runs, for another user
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


@cache
def warn_without_locks(folder: Path) -> None:
    """Warn once that other machines cannot be kept out of a folder."""
    warnings.warn(
        f"the file system of {folder} has no locks: a command on another machine that writes there is not noticed",
        stacklevel=2,
    )


def _owner(path: Path) -> str:
    """Return the process and the host that a lock file names."""
    try:
        owner = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the owner has just finished
        owner = ""
    return owner or "another process"


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether an open file still lies at `path`: the last owner may have removed it in the meantime."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
