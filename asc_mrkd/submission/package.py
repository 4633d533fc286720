"""Read a submission package, a zip or a folder, without unpacking it."""

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from asc_mrkd.errors import SubmissionError, shell_command
from asc_mrkd.files import archive_member_fault, is_plain_zip_member
from asc_mrkd.submission.tasks import Problem

MAX_FILES = 1000
MAX_BYTES = 1024**3
"""Largest package that is read, unpacked; four entries of 2024, the largest of all, hold some 400 MB."""


def read_package(path: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the files of a package by name (`.../<label>/<file>`), and the faults of the package itself.

    The content of a file is kept if its name ends in one of `suffixes`; otherwise it is empty. A zip with a name that
    leads outside, a link, or more than MAX_BYTES is not read at all.

    Raises:
        SubmissionError: there is nothing at `path`.
    """
    if path.is_dir():
        return _folder_contents(path, suffixes), []
    if not path.is_file():
        raise SubmissionError(f"{path}: no such file or folder", "asc-mrkd submit make writes a package")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.filename.endswith("/")]
            of_macos = [info for info in members if is_of_macos(info.filename)]
            members = [info for info in members if not is_of_macos(info.filename)]
            problems = _unsafe_members(path.name, members)
            files = {}
            if not problems:
                for member in members:
                    content = archive.read(member)  # of every member, so that its checksum is compared
                    files[member.filename] = content if member.filename.endswith(suffixes) else b""
            return files, problems + _macos_problems(path.name, len(of_macos))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
        return {}, [Problem(path.name, None, "damaged-zip", f"cannot be read as a zip: {error}")]


def is_of_macos(name: str) -> bool:
    """Return whether a file belongs to the Finder of macOS and not to a submission.

    >>> is_of_macos("__MACOSX/task1/._a.csv"), is_of_macos("task1/.DS_Store"), is_of_macos("task1/a.csv")
    (True, True, False)
    """
    *folders, last = PurePosixPath(name).parts or ("",)
    return "__MACOSX" in folders or last == ".DS_Store" or last.startswith("._")


def _macos_problems(package: str, count: int) -> list[Problem]:
    if not count:
        return []
    command = shell_command("zip", "-d", package, "__MACOSX/*", "*.DS_Store", "*/._*")
    message = (
        f"made by macOS: {count} entries are under __MACOSX or hidden, on which the validator of the organisers fails; "
        f"make the zip with `asc-mrkd submit make`, or `{command}`"
    )
    return [Problem(package, None, "macos", message)]


def _unsafe_members(package: str, members: list[zipfile.ZipInfo]) -> list[Problem]:
    size = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or size > MAX_BYTES:
        return [Problem(package, None, "package-size", f"more than {MAX_FILES} files or {MAX_BYTES:,} bytes unpacked")]
    problems = []
    seen = set()
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


def _folder_contents(folder: Path, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files next to each file that ends in one of `suffixes`."""
    folder = folder.resolve()
    files_of_any = (file for suffix in suffixes for file in folder.rglob(f"*{suffix}"))
    submissions = {file.parent for file in files_of_any if not is_of_macos(file.relative_to(folder).as_posix())}
    files = {}
    for submission in sorted(submissions):
        for file in sorted(submission.iterdir()):
            if file.is_file() and not is_of_macos(file.name):
                name = (folder.name / file.relative_to(folder)).as_posix()
                files[name] = file.read_bytes() if name.endswith(suffixes) else b""
    return files
