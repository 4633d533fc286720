"""Download a data set: archives at hand or downloaded, several at once, each unpacked as soon as it is whole.

Everything unfinished lies in the staging folder `<data set folder>.part`. It becomes the data set folder by one rename.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread

from asc_mrkd.download.catalogue import Archive, DataSet, find_data_set
from asc_mrkd.download.plan import PendingArchive, check_space, plan_archives, space_needed, wrong_archive
from asc_mrkd.download.staging import (
    assemble,
    find_gap,
    remaining_allowance,
    staging_folder,
    unpack_whole,
    unpacked_place,
)
from asc_mrkd.download.transfer import Stopped, download_archive, find_mismatch, part_of
from asc_mrkd.download.unpack import Allowance
from asc_mrkd.errors import DISK_FULL, AscMrkdError, ConfigError, DataError, DownloadError, InterruptedRun, require_bool
from asc_mrkd.files import format_bytes
from asc_mrkd.folders import is_empty
from asc_mrkd.progress import Progress, no_progress

JOBS = 3
"""Downloads at a time."""

GIVE_UP = 3
"""Archives that may fail before all others are stopped: one may be a bad file, several are the network."""

PATIENCE = 0.5
"""Seconds that the threads get to end after Ctrl-C."""


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
        ConfigError: the name is unknown, or `jobs` is less than 1.
        DataError: an archive at hand is not the published one; an archive holds a forbidden member; the folder exists
            but is not as published; the disk has too little space.
        DownloadError: no address gave an archive.
        InterruptedRun: Ctrl-C; everything that has arrived is kept.

    Example:
        folder = download_dataset("cifar100", "data")
    """
    require_bool(remove_archives, "remove_archives")
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
    if jobs < 1:
        raise ConfigError(f"{jobs} downloads at a time are too few", "jobs=1 downloads one archive after the other")
    out = Path(out)
    folder = out / data_set.folder
    if folder.exists() and not is_empty(folder):
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

    After `GIVE_UP` errors and when the block is left, `stop` is set: no other task begins, and those that run should
    end.
    """
    waiting = SimpleQueue[int]()
    ended = SimpleQueue[tuple[int, Exception | None]]()
    errors: list[Exception] = []
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
                errors.append(error)
                if len(errors) >= GIVE_UP:
                    stop.set()
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
        raise wrong_archive(pending.path, pending.archive, mismatch)


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
