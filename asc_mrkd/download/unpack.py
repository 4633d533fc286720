"""Unpack archives member by member: only plain files and folders, and nothing outside the folder."""

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from asc_mrkd.errors import DataError, first_line
from asc_mrkd.files import archive_member_fault, is_plain_zip_member
from asc_mrkd.progress import count_nothing

CHUNK = 2**20
"""Bytes that are copied at a time."""

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
)
"""Errors of the readers for an archive that is cut, altered or encrypted."""


@dataclass
class Allowance:
    """The amount that may still be unpacked."""

    size: int
    """Bytes of unpacked files."""
    members: int = 1_000_000
    """Files and folders."""

    def take(self, size: int) -> bool:
        """Subtract a member of `size` bytes and return whether the allowance held."""
        self.size -= size
        self.members -= 1
        return size >= 0 and self.size >= 0 and self.members >= 0


@dataclass(frozen=True)
class _Member:
    """One entry of an archive of either format."""

    name: str
    """Name as stored."""
    is_plain: bool
    """Whether it is a file or a folder, not a link, a device or a pipe."""
    is_folder: bool
    size: int
    """Bytes when unpacked."""
    open: Callable[[], Any]
    """Opens the content for reading."""


class _Refused(Exception):
    """The reason not to unpack a member."""


def unpack(
    archive: Path,
    folder: Path,
    allowance: Allowance,
    advance: Callable[[int], None] = count_nothing,
    root: str = "",
) -> None:
    """Unpack a .tar.gz or .zip into an empty folder; after an error the folder must be thrown away.

    Args:
        archive: a name that ends in .zip, or any other for a .tar.gz.
        folder: folder to write; it is made if need be.
        allowance: bytes and members that may be unpacked; archives of one data set share it.
        advance: called after each file with the bytes of the archive that were read for it.
        root: name of the folder that all members must lie in; "" for any.

    Raises:
        DataError: a member is a link or a device, leads outside, comes twice or exceeds the allowance; or the archive
            is damaged.
    """
    list_members = _zip_members if archive.suffix == ".zip" else _tar_members
    position = 0
    try:
        with open(archive, "rb") as stream:
            for member in list_members(stream):
                try:
                    _unpack_member(member, folder, allowance, root)
                except _Refused as reason:
                    raise DataError(f"{archive}: member '{member.name}' {reason}", "do not use this archive") from None
                if not member.is_folder:
                    advance(max(stream.tell() - position, 0))
                    position = max(stream.tell(), position)
    except DAMAGED as error:
        raise DataError(f"{archive} is damaged: {first_line(error)}", "remove it and download it again") from None
    advance(archive.stat().st_size - position)


def _tar_members(stream: IO[bytes]) -> Iterator[_Member]:
    # Opened as a stream, the tar is never read backwards; gzip would begin again.
    with gzip.GzipFile(fileobj=stream) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for info in tar:
            is_plain = info.isreg() or info.isdir()
            yield _Member(info.name, is_plain, info.isdir(), info.size, partial(tar.extractfile, info))
        while plain.read(CHUNK):  # up to the checksum at the end
            pass


def _zip_members(stream: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            open_member = partial(archive.open, info)
            # As stored: zipfile tidies `filename`, and its `is_dir` fails for an empty one.
            is_folder = info.filename.endswith("/")
            yield _Member(info.orig_filename, is_plain_zip_member(info), is_folder, info.file_size, open_member)


def _unpack_member(member: _Member, folder: Path, allowance: Allowance, root: str) -> None:
    """Write one member below `folder`, or refuse it."""
    fault = archive_member_fault(member.name, member.is_plain)
    if fault:
        raise _Refused(fault)
    if not member.is_folder and not Path(member.name).name:
        raise _Refused("has no name")
    if root and Path(member.name).parts[:1] not in ((), (root,)):
        raise _Refused(f"would be unpacked outside {root}")
    if not allowance.take(member.size):
        raise _Refused("is more than the archive may hold")
    target = folder / member.name
    try:
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as copy, member.open() as source:
            shutil.copyfileobj(source, copy, CHUNK)
    except (FileExistsError, NotADirectoryError):
        raise _Refused("comes twice") from None
