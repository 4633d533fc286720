"""The folder in which the archives of a data set come together, so that a kill at any moment leaves nothing half.

DATA_SET.part/lock                  held while a command works here
DATA_SET.part/unpacking/            the archive that is being unpacked
DATA_SET.part/NAME.MD5/DATA_SET/    what one archive held, whole and on the disk: there is no other record of it
DATA_SET.part/DATA_SET/             what the archives held, put together; it becomes the data set folder
"""

import fcntl
import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asc_mrkd.data.archives import Archive, DataSet, find_gap
from asc_mrkd.data.download import part_of
from asc_mrkd.data.unpack import Allowance, unpack
from asc_mrkd.errors import DataError
from asc_mrkd.files import sync_folder

GROWTH = 4
"""Most bytes unpacked for each byte of the archives; pictures and sound hardly shrink."""

MEMBERS = 1_000_000
"""Most files and folders of a data set."""

LOCK = "lock"


@contextmanager
def staging_folder(data_set: DataSet, out: Path) -> Iterator[Path]:
    """Make or open the staging folder beside the data set folder; one that holds nothing in the end is removed.

    Raises:
        DataError: another command works there.
    """
    staging = part_of(out / data_set.folder)
    staging.mkdir(parents=True, exist_ok=True)
    with open(staging / LOCK, "w") as lock:  # for writing: a lock on the folder itself is refused by network disks
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another download works in {staging}", "wait for it, or choose another --out") from None
        try:
            yield staging
        finally:
            if staging.exists() and {path.name for path in staging.iterdir()} == {LOCK}:
                shutil.rmtree(staging)


def is_unpacked(data_set: DataSet, archive: Archive, out: Path) -> bool:
    """Whether an archive had been unpacked by this command or an earlier one."""
    return _place(part_of(out / data_set.folder), archive).is_dir()


def allowance(data_set: DataSet, staging: Path) -> Allowance:
    """Return what may still be unpacked: what all archives may hold, less what is there."""
    there = [path.stat().st_size for path in staging.rglob("*") if path.is_file()]
    return Allowance(GROWTH * data_set.size - sum(there), MEMBERS - len(there))


def unpack_whole(
    data_set: DataSet,
    archive: Archive,
    path: Path,
    staging: Path,
    allowed: Allowance,
    on_position: Callable[[int], None],
) -> None:
    """Unpack one archive; it counts as unpacked when all of it has reached the disk.

    Args:
        data_set: the data set.
        archive: one of its archives.
        path: where that lies.
        staging: the staging folder.
        allowed: bytes and members that may be unpacked.
        on_position: told how far it is in the archive, in bytes.

    Raises:
        DataError: see `unpack`.
        OSError: the disk failed or is full; nothing of this archive is left.
    """
    temporary = staging / "unpacking"
    if temporary.exists():  # of a command that was killed
        shutil.rmtree(temporary)
    try:
        root = data_set.folder if data_set.has_root else ""
        (temporary / data_set.folder).mkdir(parents=True)
        unpack(path, temporary if root else temporary / data_set.folder, allowed, on_position, root)
        os.sync()  # flushing hundreds of thousands of small files one by one takes minutes
        os.replace(temporary, _place(staging, archive))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(staging)
    on_position(archive.size)


def assemble(data_set: DataSet, staging: Path, folder: Path) -> None:
    """Put together what the archives held, check it and make it the data set folder.

    Raises:
        DataError: two archives hold a file with different bytes; the whole is not the data set.
    """
    whole = staging / data_set.folder
    for archive in data_set.archives:
        _merge(_place(staging, archive) / data_set.folder, whole, archive.name)
    if gap := find_gap(data_set, whole):
        raise DataError(
            f"the archives of {data_set.folder}, unpacked in {staging}, do not hold the data set: {gap}",
            f"rm -r {staging}, then the same command unpacks them again",
        )
    os.replace(whole, folder)
    sync_folder(folder.parent)
    shutil.rmtree(staging)


def _place(staging: Path, archive: Archive) -> Path:
    """Where the content of an archive is kept; with its md5, as another edition may come under the same name."""
    return staging / f"{archive.name}.{archive.md5}"


def _merge(source: Path, target: Path, origin: str) -> None:
    """Move a file or folder to `target`, into what is there; after a kill, what is left of it moves the next time."""
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
