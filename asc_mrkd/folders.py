"""Folders: the visible files in them, their replacement as a whole, and those that come with the package."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asc_mrkd.errors import RunError
from asc_mrkd.files import sync_folder
from asc_mrkd.locks import LOCK, exclusive_lock

FOLDERS_OF_SYSTEMS = ("lost+found", "System Volume Information", "$RECYCLE.BIN", "__MACOSX", "@eaDir")
"""Names of folders that systems put next to those of people; they count as hidden."""

FILES_OF_SYSTEMS = (".ds_store", "._.ds_store", "desktop.ini", "thumbs.db")
"""Names, in lower case, of files that systems put into the folders that people look at; they count as hidden."""

FORMER = "former"
"""Name in the staging folder of the folder that is being replaced."""


def find_files(folder: Path, suffixes: Collection[str] = ()) -> list[Path]:
    """List the files below a folder, sorted; see `visible_files`.

    Args:
        folder: folder to search.
        suffixes: accepted suffixes, in lower case; none for all.
    """
    return [path for path in visible_files(folder) if not suffixes or path.suffix.lower() in suffixes]


def visible_files(folder: Path, above: Collection[str] = ()) -> Iterator[Path]:
    """Yield the files below a folder, sorted, without hidden files and folders; links to folders are followed.

    Args:
        folder: folder to search.
        above: real paths of the folders on the way here; a link back to one of them is not followed.

    Raises:
        OSError: a folder may not be read.
    """
    place = os.path.realpath(folder)
    if place in above or not folder.is_dir():
        return
    for path in visible_paths(folder):
        if path.is_dir():
            yield from visible_files(path, (*above, place))
        else:
            yield path


def visible_folders(folder: Path) -> list[Path]:
    """List the folders directly in a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.glob("*") if path.is_dir() and not _is_hidden(path))


def visible_paths(folder: Path) -> list[Path]:
    """List the files and folders directly in a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in FOLDERS_OF_SYSTEMS or _is_of_system(path)


def is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing, or only files that a system has put there by itself."""
    return all(_is_of_system(path) for path in folder.iterdir())


def remove_files_of_systems(folder: Path) -> None:
    """Remove the files from a folder that a system has put there by itself, so that it can be replaced."""
    for path in folder.glob("*"):
        if _is_of_system(path):
            path.unlink()


def _is_of_system(path: Path) -> bool:
    return path.name.lower() in FILES_OF_SYSTEMS


def require_replaceable(out: Path, is_ours: bool, noun: str) -> None:
    """Refuse to replace a folder that holds something else, or that this process works in.

    Args:
        out: the folder; there may be none, or an empty one.
        is_ours: whether it holds an earlier result.
        noun: kind of such a result, as in `an export`.

    Raises:
        RunError: it must not be replaced.
    """
    if not out.exists():
        return
    if not is_ours and not (out.is_dir() and is_empty(out)):
        raise RunError(f"{out} exists and is not {noun}", "choose another --out")
    if out.resolve().is_mount():
        raise _mounted(out)
    if Path.cwd().is_relative_to(out.resolve()):
        raise RunError(f"{out} would be replaced, and this command runs in it", "run it from another folder")


def _mounted(out: Path) -> RunError:
    return RunError(f"{out} is the root of a disk or a volume, which cannot be replaced", "choose a folder in it")


@contextmanager
def staging_next_to(out: Path) -> Iterator[Path]:
    """Make an empty folder next to `out` for a part of the work, on the same disk, and remove it at the end.

    What a killed process has left there is removed at the start. If it was killed within `replace_folder`, the former
    `out` returns to its place.

    Raises:
        RunError: another process writes `out`.
    """
    out = out.resolve()
    staging = out.with_name(f".{out.name}.tmp")
    staging.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive_lock(staging, RunError):
            _empty(staging, out)
            try:
                yield staging
            finally:
                _empty(staging, out)
    finally:
        with suppress(OSError):  # another process uses it
            staging.rmdir()


def _empty(staging: Path, out: Path) -> None:
    """Remove everything in a staging folder but its lock; a former `out` that nothing has replaced is moved back."""
    former = staging / FORMER
    if former.exists() and not out.exists():
        former.rename(out)
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()


def replace_folder(new: Path, out: Path) -> None:
    """Put a folder from `staging_next_to` in the place of `out`, which may exist and then stays until that moment.

    After an error, or a kill, between the two renames `staging_next_to` moves the former folder back.

    Raises:
        RunError: `out` cannot be moved: a disk is mounted there that `require_replaceable` did not recognise.
    """
    out = out.resolve()
    if out.exists():
        try:
            out.rename(new.with_name(FORMER))
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            raise _mounted(out) from None
    new.rename(out)
    sync_folder(out.parent)


def resource_folder(kind: str) -> Path:
    """Return the folder `recipes` or `features` of the source tree or of the installed wheel.

    >>> (resource_folder("features") / "pmel256.yaml").exists()
    True
    """
    package = Path(__file__).parent
    installed = package / "_shipped" / kind
    return installed if installed.exists() else package.parent / kind
