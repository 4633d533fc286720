"""One extraction a store: a lock that the system takes back when its owner dies, however that happens."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asc_mrkd.errors import StoreError

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of `folder` that asks for the same.

    The file that is locked tells who holds it. What a killed process left behind is taken over.

    Raises:
        StoreError: another process is at work; its number is named.
    """
    descriptor = _open_locked(folder)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(folder: Path) -> int:
    path = folder / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace")
            raise StoreError(
                f"{folder} is being written by {owner or 'another process'}", "wait for it, or choose another --out"
            ) from None
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the locked file is the one that lies there, and not one that its last owner has just removed."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
