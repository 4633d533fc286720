"""Files: written whole or not at all (a temporary file beside, flushed to disk, renamed), and found by suffix."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asc_mrkd.errors import StoreError


@contextmanager
def atomic_writer(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary sibling of `path` that replaces it when the block ends without an error.

    A reader sees the old file or the new one, never a part; on any error (disk full, a kill) the old one stays.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_writer(target, "w") as f:
    ...     _ = f.write("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        text = "b" not in mode
        with os.fdopen(descriptor, mode, encoding="utf-8" if text else None, newline="" if text else None) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    with atomic_writer(path, "w") as stream:
        stream.write(text)


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the files below a folder that end in one of the (lower-case) suffixes, sorted; hidden files are none."""
    paths = folder.rglob("*")
    return sorted(path for path in paths if path.suffix.lower() in suffixes and not path.name.startswith("."))


def resource_folder(kind: str) -> Path:
    """Return the folder `recipes` or `features`: of the source tree, or of the installed wheel.

    >>> (resource_folder("features") / "pmel256.yaml").exists()
    True
    """
    package = Path(__file__).parent
    installed = package / "_shipped" / kind
    return installed if installed.exists() else package.parent / kind


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
