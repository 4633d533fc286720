"""Reading a submission package, a zip or a folder, without unpacking it."""

import lzma
import zipfile
import zlib
from pathlib import Path

from asc_mrkd.errors import SubmissionError
from asc_mrkd.files import archive_member_fault, is_plain_zip_member
from asc_mrkd.submission.tasks import Problem

MAX_FILES = 1000
MAX_BYTES = 1024**3
"""Largest package that is read, unpacked; four entries of 2024, the largest of all, hold some 400 MB."""


def read_package(path: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the files of a package by name (`.../<label>/<file>`) and what is wrong with the package itself.

    Only files that end in one of `suffixes` have their content kept; of others it is empty. A zip with a name that
    leads outside, a link, or more than MAX_BYTES is not read at all.

    Raises:
        SubmissionError: there is nothing at `path`.
    """
    if path.is_dir():
        return _read_folder(path, suffixes), []
    if not path.is_file():
        raise SubmissionError(f"{path}: no such file or folder", "asc-mrkd submit make writes a package")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.filename.endswith("/")]
            problems = _unsafe_members(path.name, members)
            return ({}, problems) if problems else ({m.filename: _content(archive, m, suffixes) for m in members}, [])
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
        return {}, [Problem(path.name, None, "damaged-zip", f"cannot be read as a zip: {error}")]


def _unsafe_members(package: str, members: list[zipfile.ZipInfo]) -> list[Problem]:
    if len(members) > MAX_FILES or sum(m.file_size for m in members) > MAX_BYTES:
        return [Problem(package, None, "package-size", f"more than {MAX_FILES} files or {MAX_BYTES:,} bytes unpacked")]
    problems, seen = [], set()
    for member in members:
        name = member.orig_filename  # as stored: zipfile tidies `filename`
        fault = archive_member_fault(name, is_plain_zip_member(member))
        if not fault and "\\" in name:
            fault = "has a backslash in its path"
        if fault:
            problems.append(Problem(package, None, "unsafe-path", f"'{name}' {fault}"))
        if name in seen:
            problems.append(Problem(package, None, "duplicate-member", f"'{name}' is in the package twice"))
        seen.add(name)
    return problems


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, suffixes: tuple[str, ...]) -> bytes:
    content = archive.read(member)  # every member, so that its checksum is compared
    return content if member.filename.endswith(suffixes) else b""


def _read_folder(folder: Path, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    folder = folder.resolve()
    files = {}
    for file in sorted(p for suffix in suffixes for p in folder.rglob(f"*{suffix}")):
        for neighbour in sorted(p for p in file.parent.iterdir() if p.is_file()):
            name = (folder.name / neighbour.relative_to(folder)).as_posix()
            if name not in files:
                files[name] = neighbour.read_bytes() if name.endswith(suffixes) else b""
    return files
