"""The plan of a download: which archives are missing, where they are, and whether the disk has room."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asc_mrkd.download.catalogue import Archive, DataSet
from asc_mrkd.download.staging import unpacked_place
from asc_mrkd.download.transfer import file_size, part_of
from asc_mrkd.errors import DataError, suggest
from asc_mrkd.files import format_bytes


@dataclass(frozen=True)
class PendingArchive:
    """One archive that is not unpacked yet."""

    archive: Archive
    path: Path
    """Present or future path of the archive."""
    at_hand: bool
    """Whether it exists already."""
    is_removed: bool
    """Whether it is removed when its content is on the disk."""

    @property
    def missing_bytes(self) -> int:
        """Bytes that are still to be downloaded."""
        return 0 if self.at_hand else self.archive.size - file_size(part_of(self.path))


def plan_archives(
    data_set: DataSet, out: Path, given: str | os.PathLike[str] | None = None, remove_archives: bool = False
) -> list[PendingArchive]:
    """List the archives that are still to be unpacked; those in `out` or `given` have the right size.

    Raises:
        DataError: `given` is or holds none of the archives, or one at hand has another size.
    """
    staging = part_of(out / data_set.folder)
    missing = [archive for archive in data_set.archives if not unpacked_place(staging, archive).is_dir()]
    found: Mapping[Archive, Path] = {}
    if given is not None:
        has_begun = len(missing) < len(data_set.archives)
        found = _find_given(data_set.archives, Path(given), has_begun)
    pending = []
    for archive in missing:
        path = found.get(archive, out / archive.name)
        at_hand = path.is_file()
        if at_hand and path.stat().st_size != archive.size:
            raise wrong_archive(path, archive, f"{path.stat().st_size:,} bytes, not {archive.size:,}")
        is_inside = path.parent.resolve() == out.resolve()
        pending.append(PendingArchive(archive, path, at_hand, remove_archives and is_inside))
    return pending


def _find_given(archives: Sequence[Archive], given: Path, has_begun: bool) -> Mapping[Archive, Path]:
    """Find the archives that the user named: one file, which may have any name if the set has one archive, or a folder.

    None of them has to exist if unpacking has begun: they may have been removed.
    """
    names = [archive.name for archive in archives]
    found: dict[Archive, Path] = {}
    if given.is_dir():
        found = {archive: given / archive.name for archive in archives if (given / archive.name).is_file()}
    elif given.is_file():
        if len(archives) == 1:
            found = {archives[0]: given}
        elif given.name in names:
            found = {archives[names.index(given.name)]: given}
        else:
            raise DataError(f"{given} has the name of none of the {len(names)} archives", suggest(given.name, names))
    if found or has_begun:
        return found
    if given.is_dir():
        raise DataError(f"{given} holds no such archive as {names[0]}", "without --archive it is downloaded")
    raise DataError(f"{given}: no such archive", f"without --archive {names[0]} is downloaded")


def wrong_archive(path: Path, archive: Archive, mismatch: str) -> DataError:
    """Return the error for a file that is not the archive as published."""
    message = f"{path} is not {archive.name} as it was published: {mismatch}"
    return DataError(message, "move it away; the same command downloads it")


def space_needed(data_set: DataSet, pending: Sequence[PendingArchive], jobs: int) -> int:
    """Return the bytes that the download takes at its worst moment, beyond those on the disk now.

    Archives that are removed make room for those that come `jobs` places behind them; all others stay to the end.
    """
    growth = data_set.size_unpacked / max(data_set.size, 1)
    makes_room = any(each.is_removed for each in pending)
    ahead = jobs if makes_room else len(pending)
    arriving = [each.missing_bytes for each in pending]
    used = sum(arriving[:ahead])
    worst = used
    for number, each in enumerate(pending):
        used += round(each.archive.size * growth)
        worst = max(worst, used)
        if each.is_removed:
            used -= each.archive.size
        if number + ahead < len(pending):
            used += arriving[number + ahead]
        worst = max(worst, used)
    return worst


def check_space(data_set: DataSet, pending: Sequence[PendingArchive], out: Path, jobs: int) -> None:
    """Compare the free bytes of the disk with those that are needed.

    Raises:
        DataError: there are too few.
    """
    free = shutil.disk_usage(out).free
    needed = space_needed(data_set, pending, jobs)
    if free >= needed:
        return
    hint = "make room, choose another folder with --out"
    if not all(each.is_removed for each in pending):
        hint += " or remove archives once they are unpacked with --remove-archives"
    missing = format_bytes(needed - free)
    raise DataError(
        f"{out.resolve()} has {format_bytes(free)} left, {format_bytes(needed)} are needed, {missing} more", hint
    )
