"""The staging folder: contents of archives that are not the data set folder yet."""

import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asc_mrkd.download.catalogue import Archive, DataSet
from asc_mrkd.download.transfer import part_of
from asc_mrkd.download.unpack import Allowance, unpack
from asc_mrkd.errors import DataError, shell_command
from asc_mrkd.files import file_md5, sync_folder
from asc_mrkd.folders import remove_files_of_systems
from asc_mrkd.locks import LOCK, exclusive_lock

GROWTH = 4
"""Most bytes unpacked for each byte of the archives; pictures and sound hardly shrink."""

MEMBERS = 1_000_000
"""Most files and folders of a data set."""


@contextmanager
def staging_folder(data_set: DataSet, out: Path) -> Iterator[Path]:
    """Make or open the staging folder next to the data set folder; it is removed in the end if it is empty.

    Raises:
        DataError: another command uses it.
    """
    staging = part_of(out / data_set.folder)
    staging.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(staging, DataError):
        try:
            yield staging
        finally:
            if staging.exists() and {path.name for path in staging.iterdir()} == {LOCK}:
                shutil.rmtree(staging)


def unpacked_place(staging: Path, archive: Archive) -> Path:
    """Return the folder for the content of an archive; with its md5, as another edition may have the same name."""
    return staging / f"{archive.name}.{archive.md5}"


def remaining_allowance(data_set: DataSet, staging: Path) -> Allowance:
    """Return the amount that may still be unpacked: that of all archives, less the files that exist."""
    sizes = [path.stat().st_size for path in staging.rglob("*") if path.is_file()]
    return Allowance(GROWTH * data_set.size - sum(sizes), MEMBERS - len(sizes))


def unpack_whole(
    data_set: DataSet, archive: Archive, path: Path, staging: Path, allowed: Allowance, advance: Callable[[int], None]
) -> None:
    """Unpack one archive; it counts as unpacked when all of it has reached the disk.

    Args:
        data_set: data set of the archive.
        archive: row of the archive.
        path: file of the archive.
        staging: staging folder.
        allowed: bytes and members that may be unpacked.
        advance: called with the bytes of the archive that were read.

    Raises:
        DataError: see `unpack`.
        OSError: the disk failed or is full; nothing of this archive is left.
    """
    temporary = staging / "unpacking"
    if temporary.exists():  # of a command that was killed
        shutil.rmtree(temporary)
    inner = temporary / data_set.folder
    try:
        inner.mkdir(parents=True)
        if data_set.has_root:
            unpack(path, temporary, allowed, advance, root=data_set.folder)
        else:
            unpack(path, inner, allowed, advance)
        if hasattr(os, "sync"):  # not on Windows; flushing hundreds of thousands of small files takes minutes
            os.sync()
        os.replace(temporary, unpacked_place(staging, archive))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(staging)


def assemble(data_set: DataSet, staging: Path, folder: Path) -> None:
    """Merge the contents of all archives, check the whole and make it the data set folder.

    Raises:
        DataError: two archives hold a file with different bytes, or the whole is not the data set.
    """
    whole = staging / data_set.folder
    for archive in data_set.archives:
        _merge(unpacked_place(staging, archive) / data_set.folder, whole, archive.name)
    gap = find_gap(data_set, whole)
    if gap:
        raise DataError(
            f"the archives of {data_set.folder}, unpacked in {staging}, do not hold the data set: {gap}",
            f"{shell_command('rm', '-r', staging)}, then the same command unpacks them again",
        )
    remove_files_of_systems(folder)
    os.replace(whole, folder)
    sync_folder(folder.parent)
    shutil.rmtree(staging)


def _merge(source: Path, target: Path, origin: str) -> None:
    """Move a file or folder to `target`, into an existing folder; after a kill the rest of it moves the next time."""
    if not source.exists():
        return
    if not target.exists():
        os.rename(source, target)
    elif source.is_dir() and target.is_dir():
        for path in sorted(source.iterdir()):
            _merge(path, target / path.name, origin)
    elif source.is_file() and target.is_file() and filecmp.cmp(source, target, shallow=False):
        source.unlink()
    else:
        raise DataError(
            f"{origin} holds {source.name} with other bytes than an archive before it: {source}, {target}",
            "the archives do not belong together: report this, with the name of the data set",
        )


def find_gap(data_set: DataSet, folder: Path) -> str:
    """Return the first difference between a folder and the complete data set, or "" if there is none."""
    for name, md5 in data_set.files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_md5(folder / name) != md5:
            return f"{name} has other bytes"
    for pattern, count in data_set.counts.items():
        found = sum(1 for _ in folder.glob(pattern))
        if found != count:
            return f"{pattern} is missing" if count == 1 else f"{pattern} gives {found:,} files, not {count:,}"
    return ""
