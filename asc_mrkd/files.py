"""Files: written whole or not at all, known by their checksums; the guard against hostile archives, sizes as text."""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import IO, Any
from uuid import uuid4
from zipfile import ZipInfo

from asc_mrkd.errors import DISK_FULL, RunError, no_room
from asc_mrkd.locks import NO_LOCKS, READ_AND_WRITE, NoLocks, open_locked

NOT_OFFERED = (*NO_LOCKS, errno.EPERM, errno.EACCES)
"""Errors of file systems that cannot flush a folder; Windows opens no folder."""


@contextmanager
def atomic_writer(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file next to `path` that replaces it when the block ends without an error.

    A reader sees the old file or the new one, never a part. After any error (disk full, a kill) the old one stays.
    The temporary file of a writer that was killed is used by the next one.

    Raises:
        DiskFullError: there is no room for the file; the message says how many bytes are missing.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_writer(target, "w") as f:
    ...     _ = f.write("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    with _no_room_explained(path):
        make_place(path)
        descriptor, temporary = _open_temporary(path)
    raw = _CountingFile(descriptor)
    try:
        with _no_room_explained(path, raw), _stream_on(raw, mode) as stream:
            yield stream
            stream.flush()
            raw.settle()
            # Windows cannot rename an open file. Elsewhere it stays open, so that it is locked until it has its name.
            if os.name == "nt":
                stream.close()
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def make_place(path: str | os.PathLike[str]) -> None:
    """Make the folder of a file that is to be written, and refuse the path of a folder.

    Long work whose result goes into one file starts with it.

    Raises:
        OSError: the folder cannot be made, or the path is one itself.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)


class _CountingFile(io.FileIO):
    """File that counts on without writing once there is no room, so that the number of missing bytes is known.

    The writer ends as usual. Otherwise torch and numpy would hide the error of the system in errors of their own.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb")
        self.descriptor = descriptor
        self.failure: OSError | None = None
        self.size = 0
        self.written = 0

    def fileno(self) -> int:
        """Raise an error, so that nobody writes past this class."""
        raise io.UnsupportedOperation("fileno")

    def write(self, data: Any) -> int:
        """Write bytes and return how many were taken, or only count them."""
        size = memoryview(data).nbytes
        self.size = max(self.size, self.tell() + size)
        if self.failure is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                self.failure = error
                self.written = os.fstat(self.descriptor).st_size
        self.seek(size, os.SEEK_CUR)
        return size

    def settle(self) -> None:
        """Wait until all bytes are on the disk, or raise the error that said that there is no room."""
        if self.failure:
            raise self.failure
        os.fsync(self.descriptor)


def _stream_on(raw: _CountingFile, mode: str) -> IO:
    if "b" in mode:
        return io.BufferedWriter(raw)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="")


@contextmanager
def _no_room_explained(path: Path, file: _CountingFile | None = None) -> Iterator[None]:
    """Turn the error of a full disk, also one that a library has hidden in its own, into a DiskFullError.

    Other errors of the system name `path` instead of its temporary file.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and Path(str(error.filename)).name.startswith(f".{path.name}."):
            error.filename = str(path)
        cause = file.failure if file and file.failure else error
        if not isinstance(cause, OSError) or cause.errno not in DISK_FULL:
            raise
        raise no_room(path, cause.errno, f"{file.size - file.written:,} bytes are missing" if file else "") from None


def _open_temporary(path: Path) -> tuple[int, Path]:
    """Open and lock a temporary file for `path` that no living process uses, and remove those of killed ones."""
    opened: tuple[int, Path] | None = None
    number = 0
    while True:
        temporary = path.with_name(f".{path.name}.{number}.tmp")
        number += 1
        if opened and not temporary.exists():
            return opened
        try:
            descriptor = open_locked(temporary, wait=False)
        except PermissionError:
            if not temporary.exists():  # no file may be written into this folder
                raise
            continue  # it is left from a writer of another user
        except NoLocks:
            temporary.unlink(missing_ok=True)
            # Without locks nobody knows whose a file is: a name that no other writer has.
            unique = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
            return os.open(unique, os.O_RDWR | os.O_CREAT | os.O_EXCL, READ_AND_WRITE), unique
        if descriptor is None:
            continue
        if opened:
            temporary.unlink()
            os.close(descriptor)
        else:
            os.ftruncate(descriptor, 0)
            opened = descriptor, temporary


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    with atomic_writer(path, "w") as stream:
        stream.write(text)


def write_if_different(path: Path, text: str) -> None:
    """Write `text` to `path` unless it is there already, so that what is finished may lie on a disk that only reads."""
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def file_md5(path: Path) -> str:
    """Return the md5 of a file, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum_file(path: Path) -> Path:
    """Return the path of the checksum that lies next to a file.

    >>> checksum_file(Path("seed0/predictions.csv")).name
    'predictions.csv.sha256'
    """
    return path.with_name(f"{path.name}.sha256")


def write_checksum(path: Path, content: bytes | None = None) -> None:
    """Write the SHA-256 of a file next to it, in the format of `sha256sum`.

    Args:
        path: the file.
        content: its content, if it is still to be written; by default the file is read.
    """
    write_text(checksum_file(path), f"{_sha256(path, content)}  {path.name}\n")


def has_its_checksum(path: Path, content: bytes | None = None) -> bool:
    """Return whether a file has the checksum next to it; a file without a checksum may have any content.

    Args:
        path: the file.
        content: its content, if it has been read; by default the file is read.

    Raises:
        RunError: the checksum cannot be read.
    """
    checksum = checksum_file(path)
    try:
        expected = checksum.read_bytes()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise RunError(f"{checksum}: {error.strerror}", f"remove it: without it any {path.name} is taken") from None
    return expected.split()[:1] == [_sha256(path, content).encode()]


def _sha256(path: Path, content: bytes | None) -> str:
    return file_sha256(path) if content is None else hashlib.sha256(content).hexdigest()


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
