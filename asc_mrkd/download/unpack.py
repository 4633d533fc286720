"""Unpacking of archives, member by member: nothing but plain files, and nothing outside the folder."""

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
from typing import IO, cast

from asc_mrkd.errors import DataError, first_line
from asc_mrkd.files import archive_member_fault, is_plain_zip_member

CHUNK = 2**20
Opener = Callable[[], IO[bytes]]
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
"""What the readers raise for an archive that is cut, altered or encrypted."""


@dataclass
class Allowance:
    """What may still be unpacked: plain bytes and members."""

    size: int
    members: int = 1_000_000

    def take(self, size: int) -> bool:
        """Subtract a member of `size` bytes; return whether the allowance held."""
        self.size -= size
        self.members -= 1
        return size >= 0 and self.size >= 0 and self.members >= 0


@dataclass(frozen=True)
class _Member:
    """One entry of an archive, whatever its format."""

    name: str
    kind: str
    """`file`, `folder` or what else it is."""
    size: int
    """Bytes, unpacked."""
    open: Opener


class _Refused(Exception):
    """Why a member is not unpacked."""


def unpack(
    archive: Path,
    folder: Path,
    allowance: Allowance,
    on_position: Callable[[int], None] = lambda position: None,
    root: str = "",
) -> None:
    """Unpack a .tar.gz or .zip into an empty folder; what lies there after an error is to be thrown away.

    Args:
        archive: a name in .zip, anything else is a .tar.gz.
        folder: receives the members; is made if need be.
        allowance: bytes and members that may be unpacked; shared by the archives of one data set.
        on_position: called after each file with how many bytes of the archive were read.
        root: the one folder that all members must lie in; nothing for any.

    Raises:
        DataError: a member is a link or a device, leads outside, comes twice or exceeds the allowance; the archive is
            damaged.
    """
    try:
        with open(archive, "rb") as stream:
            for member in (_zip_members if archive.suffix == ".zip" else _tar_members)(stream):
                try:
                    _write(member, folder, allowance, root)
                except _Refused as reason:
                    raise DataError(f"{archive}: member '{member.name}' {reason}", "do not use this archive") from None
                if member.kind == "file":
                    on_position(stream.tell())
    except DAMAGED as error:
        raise DataError(f"{archive} is damaged: {first_line(error)}", "remove it and download it again") from None


def _tar_members(stream: IO[bytes]) -> Iterator[_Member]:
    # Opened as a stream, the tar is never read backwards, for which gzip would begin again.
    with gzip.GzipFile(fileobj=stream) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "link, device or pipe"
            yield _Member(info.name, kind, info.size, cast(Opener, partial(tar.extractfile, info)))
        while plain.read(CHUNK):  # up to the checksum at the end
            pass


def _zip_members(stream: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            kind = "folder" if info.is_dir() else "file"
            if not is_plain_zip_member(info):
                kind = "link, device or pipe"
            # As stored: zipfile tidies `filename`.
            yield _Member(info.orig_filename, kind, info.file_size, partial(archive.open, info))


def _write(member: _Member, folder: Path, allowance: Allowance, root: str) -> None:
    if fault := archive_member_fault(member.name, is_plain=member.kind in ("file", "folder")):
        raise _Refused(fault)
    if root and Path(member.name).parts[:1] not in ((), (root,)):
        raise _Refused(f"would be unpacked outside {root}")
    if not allowance.take(member.size):
        raise _Refused("is more than the archive may hold")
    target = folder / member.name
    try:
        if member.kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as copy, member.open() as source:
            shutil.copyfileobj(source, copy, CHUNK)
    except (FileExistsError, NotADirectoryError):
        raise _Refused("comes twice") from None
