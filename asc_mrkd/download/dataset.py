"""Download a data set: archives at hand or downloaded, several at once, each unpacked as soon as it is whole.

Everything unfinished lies in the staging folder `<data set folder>.part`. It becomes the data set folder by one rename.
"""

import filecmp
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread

from asc_mrkd.download.catalogue import Archive, DataSet, find_data_set
from asc_mrkd.download.transfer import Stopped, download_archive, file_size, find_mismatch, part_of
from asc_mrkd.download.unpack import Allowance, unpack
from asc_mrkd.errors import AscMrkdError, DataError, DownloadError, InterruptedRun, suggest
from asc_mrkd.files import DISK_FULL, LOCK, exclusive_lock, file_md5, format_bytes, sync_folder
from asc_mrkd.progress import Progress, no_progress

JOBS = 3
"""Downloads at a time."""

GIVE_UP = 3
"""Archives that may fail before all others are stopped: one may be a bad file, several are the network."""

PATIENCE = 0.5
"""Seconds that the threads get to end after Ctrl-C."""

GROWTH = 4
"""Most bytes unpacked for each byte of the archives; pictures and sound hardly shrink."""

MEMBERS = 1_000_000
"""Most files and folders of a data set."""


def download_dataset(
    name: str,
    out: str | os.PathLike[str] = "data",
    archive: str | os.PathLike[str] | None = None,
    *,
    remove_archives: bool = False,
    jobs: int = JOBS,
    progress: Progress = no_progress,
) -> Path:
    """Download a data set, check it, unpack it and return its folder; a complete folder is left as it is.

    The same call continues an interrupted one: whole archives are used, parts are resumed, and unpacked files stay.

    Args:
        name: a key of `asc_mrkd.download.DATA_SETS`, such as "dcase18" or "cifar100".
        out: folder that receives the data set folder and the downloaded archives.
        archive: an archive downloaded by hand, or the folder of some; all others are taken from `out` or downloaded.
        remove_archives: remove each archive in `out`, whoever put it there, as soon as its content is on the disk.
        jobs: downloads at a time; with `remove_archives` also the most archives that wait to be unpacked.
        progress: shows the bytes of downloads and of archives read, from several threads.

    Raises:
        ConfigError: the name is unknown.
        DataError: an archive at hand is not the published one; an archive holds a forbidden member; the folder exists
            but is not as published; the disk has too little space.
        DownloadError: no address gave an archive.
        InterruptedRun: Ctrl-C; everything that has arrived is kept.

    Example:
        folder = download_dataset("cifar100", "data")
    """
    return fetch(find_data_set(name), out, archive, remove_archives=remove_archives, jobs=jobs, progress=progress)


def fetch(
    data_set: DataSet,
    out: str | os.PathLike[str],
    given: str | os.PathLike[str] | None = None,
    *,
    remove_archives: bool = False,
    jobs: int = JOBS,
    progress: Progress = no_progress,
) -> Path:
    """Download a data set of any row of a catalogue (see `download_dataset`)."""
    out = Path(out)
    folder = out / data_set.folder
    if folder.exists() and any(folder.iterdir()):
        _accept(data_set, folder, remove_archives)
        return folder
    plan = partial(plan_archives, data_set, out, given, remove_archives)
    pending = plan()
    with staging_folder(data_set, out) as staging:
        check_space(data_set, pending, out, jobs)
        if remove_archives:  # left by a kill after they were unpacked
            _remove([archive for archive in data_set.archives if unpacked_place(staging, archive).is_dir()], out)
        try:
            failures = _obtain_and_unpack(data_set, pending, staging, jobs, progress)
            if failures:
                raise _summarise(failures, data_set, staging)
            assemble(data_set, staging, folder)
        except KeyboardInterrupt:
            message = f"interrupted: everything that has arrived is kept in {out}"
            raise InterruptedRun(message, "the same command continues") from None
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise _disk_full(error.errno, data_set, plan(), out, jobs) from None
    for archive in data_set.archives:  # begun before somebody put the whole one there
        part_of(out / archive.name).unlink(missing_ok=True)
    return folder


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


def _accept(data_set: DataSet, folder: Path, remove_archives: bool) -> None:
    """Check a data set folder that exists already."""
    gap = find_gap(data_set, folder)
    if gap:
        raise DataError(f"{folder} is there, but not as published: {gap}", f"remove or rename {folder} first")
    shutil.rmtree(part_of(folder), ignore_errors=True)  # left by a kill after the last rename
    if remove_archives:
        _remove(data_set.archives, folder.parent)


def _remove(archives: Iterable[Archive], out: Path) -> None:
    """Remove archives in `out` whose content is on the disk; a file of another size only has the name and stays."""
    for archive in archives:
        path = out / archive.name
        if path.is_file() and path.stat().st_size == archive.size:
            path.unlink()


# The plan: which archives are missing, where they are, and whether the disk has room.


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
            raise _wrong_archive(path, archive, f"{path.stat().st_size:,} bytes, not {archive.size:,}")
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


def _wrong_archive(path: Path, archive: Archive, mismatch: str) -> DataError:
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


# Threads obtain the archives; this one unpacks them, one by one.


def _obtain_and_unpack(
    data_set: DataSet, pending: Sequence[PendingArchive], staging: Path, jobs: int, progress: Progress
) -> list[AscMrkdError]:
    """Obtain archives in threads, unpack each when it is whole, and return the errors of those that failed."""
    failures: list[AscMrkdError] = []
    allowed = remaining_allowance(data_set, staging)
    # Where archives make room for others, those that wait to be unpacked hold the next ones back.
    makes_room = any(each.is_removed for each in pending)
    places = Semaphore(jobs if makes_room else len(pending))
    stop = Event()
    tasks = [partial(_obtain, each, _title(data_set, each.archive), places, stop, progress) for each in pending]
    with _in_threads(tasks, jobs, stop) as ended:
        for number, error in ended:
            if error is None:
                _unpack_pending(data_set, pending[number], staging, allowed, progress)
            elif isinstance(error, DataError | DownloadError):
                failures.append(error)
                if len(failures) == GIVE_UP:
                    break
            else:
                raise error
            places.release()
    return failures


@contextmanager
def _in_threads(
    tasks: Sequence[Callable[[], None]], jobs: int, stop: Event
) -> Iterator[Iterator[tuple[int, Exception | None]]]:
    """Run tasks in order, `jobs` at a time, and yield the number and the error of each as it ends.

    When the block is left, `stop` is set: no other task begins, and those that run should end.
    """
    waiting = SimpleQueue[int]()
    ended = SimpleQueue[tuple[int, Exception | None]]()
    for number in range(len(tasks)):
        waiting.put(number)

    def work() -> None:
        while not stop.is_set():
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            try:
                tasks[number]()
            except Exception as error:
                ended.put((number, error))
            else:
                ended.put((number, None))

    threads = [Thread(target=work, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    patience = None
    try:
        yield (ended.get() for _ in tasks)
    except KeyboardInterrupt:
        patience = PATIENCE
        raise
    finally:
        stop.set()
        for thread in threads:
            thread.join(patience)


def _obtain(pending: PendingArchive, title: str, places: Semaphore, stop: Event, progress: Progress) -> None:
    """Make sure that an archive exists and is the published one."""
    while not places.acquire(timeout=0.1):
        if stop.is_set():
            raise Stopped
    if not pending.at_hand:
        download_archive(pending.archive, pending.path, progress, title, stop)
        return
    mismatch = find_mismatch(pending.path, pending.archive)
    if mismatch:
        raise _wrong_archive(pending.path, pending.archive, mismatch)


def _unpack_pending(
    data_set: DataSet, pending: PendingArchive, staging: Path, allowed: Allowance, progress: Progress
) -> None:
    """Unpack one archive and remove it if it is to make room."""
    archive = pending.archive
    with progress(f"unpack {_title(data_set, archive)}", archive.size, "bytes") as advance:
        unpack_whole(data_set, archive, pending.path, staging, allowed, advance)
    if pending.is_removed:
        pending.path.unlink()


def _title(data_set: DataSet, archive: Archive) -> str:
    """Return the name of an archive; one of several goes without the name of the data set."""
    return archive.name if len(data_set.archives) == 1 else archive.name.removeprefix(f"{data_set.folder}.")


# The staging folder: contents of archives that are not the data set folder yet.


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
            f"rm -r {staging}, then the same command unpacks them again",
        )
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


# Errors about several archives.


def _summarise(failures: Sequence[AscMrkdError], data_set: DataSet, staging: Path) -> AscMrkdError:
    """Return one error for all archives that failed."""
    first = failures[0]
    hint = first.hint
    if len(data_set.archives) > 1:
        hint += f"; {_kept(data_set, staging)}"
    if len(failures) == 1:
        return type(first)(str(first), hint)
    return DownloadError("\n".join([f"{len(failures)} archives failed", *map(str, failures)]), hint)


def _disk_full(number: int, data_set: DataSet, pending: Sequence[PendingArchive], out: Path, jobs: int) -> DataError:
    """Return the error for a disk that became full on the way; `number` is one of DISK_FULL."""
    fault, remedy = DISK_FULL[number]
    message = f"{out.resolve()}: {fault}"
    missing = space_needed(data_set, pending, jobs) - shutil.disk_usage(out).free
    if missing > 0:
        message += f", {format_bytes(missing)} more are needed"
    return DataError(message, f"{remedy}; {_kept(data_set, part_of(out / data_set.folder))}")


def _kept(data_set: DataSet, staging: Path) -> str:
    """Return the part of a hint about the archives that the next command need not unpack again."""
    count = sum(unpacked_place(staging, archive).is_dir() for archive in data_set.archives)
    return f"{count} of {len(data_set.archives)} archives are unpacked, begun ones are kept; the same command continues"
