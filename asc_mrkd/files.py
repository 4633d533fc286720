"""Files: atomic writes, the exclusive lock of a folder, the guard against hostile archives, sizes as text."""

import fcntl
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO
from zipfile import ZipInfo

from asc_mrkd.errors import AscMrkdError

LOCK = "lock"
"""Name of the file that `exclusive_lock` locks and that names the owner."""

READ_AND_WRITE = 0o644
"""Permissions of a written file: everybody reads it, its owner writes it."""


@contextmanager
def atomic_writer(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file next to `path` that replaces it when the block ends without an error.

    A reader sees the old file or the new one, never a part. After any error (disk full, a kill) the old one stays.

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
        encoding = None if "b" in mode else "utf-8"
        newline = None if "b" in mode else ""
        with os.fdopen(descriptor, mode, encoding=encoding, newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, READ_AND_WRITE)
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
    """List the files below a folder with one of the (lower-case) suffixes, sorted, without hidden files."""
    paths = folder.rglob("*")
    return sorted(path for path in paths if path.suffix.lower() in suffixes and not path.name.startswith("."))


def file_md5(path: Path) -> str:
    """Return the md5 of a file, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def resource_folder(kind: str) -> Path:
    """Return the folder `recipes` or `features` of the source tree or of the installed wheel.

    >>> (resource_folder("features") / "pmel256.yaml").exists()
    True
    """
    package = Path(__file__).parent
    installed = package / "_shipped" / kind
    return installed if installed.exists() else package.parent / kind


@contextmanager
def exclusive_lock(
    folder: Path,
    error: type[AscMrkdError] = AscMrkdError,
    hint: str = "wait for it, or choose another --out",
    *,
    wait: bool = False,
) -> Iterator[None]:
    """Keep every other process that asks for the same folder out of it.

    The locked file `folder`/lock names the owner. The kernel releases the lock when its owner ends, even by a kill.

    Args:
        folder: an existing folder.
        error: type of the error if another process holds the lock.
        hint: hint of that error.
        wait: wait until the lock is free instead of raising the error.

    Raises:
        AscMrkdError: another process holds the lock; the message names its number and its host.
    """
    descriptor = _open_locked(folder / LOCK, wait)
    if descriptor is None:
        raise error(f"{folder} is being written by {_owner(folder / LOCK)}", hint)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(path: Path, wait: bool) -> int | None:
    """Open and lock the file `path`, or return None if another process holds the lock."""
    mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        # A file for writing: network disks refuse to lock a folder.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, READ_AND_WRITE)
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _owner(path: Path) -> str:
    """Return the process and the host that a lock file names."""
    try:
        owner = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # the owner has just finished
        owner = ""
    return owner or "another process"


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether an open file still lies at `path`: the last owner may have removed it in the meantime."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def archive_member_fault(name: str, is_plain: bool = True) -> str:
    r"""Return the reason not to unpack a member of an archive, or "" if it is safe on every system.

    Args:
        name: name as stored in the archive.
        is_plain: the member is a file or a folder, not a link, a device or a pipe.

    >>> archive_member_fault("audio/a.wav")
    ''
    >>> archive_member_fault(r"a\..\..\b")
    'would be unpacked outside the folder'
    >>> archive_member_fault("a/b", is_plain=False)
    'is a link, a device or a pipe'
    """
    path = PureWindowsPath(name)  # knows drives and both separators
    if path.anchor or ".." in path.parts or ":" in name or "\0" in name:
        return "would be unpacked outside the folder"
    return "" if is_plain else "is a link, a device or a pipe"


def is_plain_zip_member(member: ZipInfo) -> bool:
    """Return whether a member of a zip is a file or a folder; a zip from Windows stores no other kinds."""
    return stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)


def format_bytes(size: int, kilo: int = 1000) -> str:
    """Write a number of bytes in its largest unit, with four digits.

    Args:
        size: number of bytes.
        kilo: 1000, or 1024 where the rules of a challenge count so.

    >>> format_bytes(21_353_171_682), format_bytes(1_234_567), format_bytes(96)
    ('21.35 GB', '1.235 MB', '96 bytes')
    >>> format_bytes(35_040, kilo=1024)
    '34.22 KB'
    """
    if abs(size) < kilo:
        return f"{size} bytes"
    value = size / kilo
    units = ["KB", "MB", "GB", "TB", "PB", "EB"]
    while abs(value) >= kilo and len(units) > 1:
        value /= kilo
        units.pop(0)
    return f"{value:.4g} {units[0]}"
