"""Fetching a data set: its archives at hand or downloaded, several at once, each unpacked as soon as it is whole."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Semaphore

from asc_mrkd.data.archives import Archive, DataSet, find_gap
from asc_mrkd.data.download import Progress, download, mismatch, part_of, silent
from asc_mrkd.data.plan import Step, amount, check_space, space_needed, steps_of, wrong_archive
from asc_mrkd.data.staging import allowance, assemble, is_unpacked, staging_folder, unpack_whole
from asc_mrkd.data.threads import in_threads
from asc_mrkd.data.unpack import Allowance
from asc_mrkd.errors import AscMrkdError, DataError, DownloadError

JOBS = 3
"""Downloads at a time."""

GIVE_UP = 3
"""Archives that may fail before all others are stopped: one may be a bad file, several are the network."""

FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch(
    data_set: DataSet,
    out: str | os.PathLike[str],
    given: str | os.PathLike[str] | None = None,
    remove_archives: bool = False,
    jobs: int = JOBS,
    progress: Progress = silent,
) -> Path:
    """Bring a data set to `out` and return its folder; one that is there and complete is left as it is.

    The same call continues what was interrupted: whole archives are used, begun ones go on where they ended, and what
    had been unpacked stays so.

    Args:
        data_set: a row of DATA_SETS.
        out: folder that receives the folder of the data set, and the archives that are downloaded.
        given: an archive downloaded by hand, or the folder of some; what is neither there nor in `out` is downloaded.
        remove_archives: remove each archive in `out`, whoever put it there, as soon as its content is on the disk.
        jobs: downloads at a time; with `remove_archives` there are never more archives waiting than that.
        progress: told how far downloads and unpacking are, from several threads.

    Raises:
        DataError: an archive at hand is not the published one; an archive holds what it must not; the folder is there,
            but not as published; the disk has too little space.
        DownloadError: no address gave an archive.
    """
    out = Path(out)
    folder = out / data_set.folder
    if folder.exists() and any(folder.iterdir()):
        _accept(data_set, folder, remove_archives)
        return folder
    plan = partial(steps_of, data_set, out, given, remove_archives)
    steps = plan()
    with staging_folder(data_set, out) as staging:
        check_space(data_set, steps, out, jobs)
        if remove_archives:  # left by a kill after they were unpacked
            _remove([archive for archive in data_set.archives if is_unpacked(data_set, archive, out)], out)
        try:
            if failures := _bring(data_set, steps, staging, jobs, progress):
                raise _summary(failures, data_set, out)
            assemble(data_set, staging, folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise _disk_full(data_set, plan(), out, jobs) from None
    for archive in data_set.archives:  # begun before the whole one was put there
        part_of(out / archive.name).unlink(missing_ok=True)
    return folder


def _accept(data_set: DataSet, folder: Path, remove_archives: bool) -> None:
    """Check a data set folder that is there already."""
    if gap := find_gap(data_set, folder):
        raise DataError(f"{folder} is there, but not as published: {gap}", f"remove or rename {folder} first")
    shutil.rmtree(part_of(folder), ignore_errors=True)  # left by a kill after the last rename
    if remove_archives:
        _remove(data_set.archives, folder.parent)


def _bring(
    data_set: DataSet, steps: Sequence[Step], staging: Path, jobs: int, progress: Progress
) -> list[AscMrkdError]:
    """Obtain archives in threads and unpack them here, one by one; return why some could not be obtained."""
    failures: list[AscMrkdError] = []
    allowed = allowance(data_set, staging)
    # Where archives make room for others, those that wait to be unpacked hold the next ones back.
    places = Semaphore(jobs if any(step.is_removed for step in steps) else len(steps))
    stop = Event()
    tasks = [partial(_obtain, step, places, stop, progress) for step in steps]
    with in_threads(tasks, jobs, stop) as ended:
        for number, error in ended:
            if error is None:
                _unpack(data_set, steps[number], staging, allowed, progress)
            elif isinstance(error, (DataError, DownloadError)):
                failures.append(error)
                if len(failures) == GIVE_UP:
                    break
            else:
                raise error
            places.release()
    return failures


def _obtain(step: Step, places: Semaphore, stop: Event, progress: Progress) -> None:
    """Make sure that an archive lies where it should and is the published one."""
    while not places.acquire(timeout=0.1):
        if stop.is_set():
            raise _Stopped
    archive = step.archive
    if not step.at_hand:
        download(step.path, archive.size, archive.md5, archive.addresses, partial(_stoppable, progress, stop))
    elif wrong := mismatch(step.path, archive.size, archive.md5):
        raise wrong_archive(step.path, archive, wrong)


class _Stopped(Exception):
    """Ends a thread whose command ends."""


@contextmanager
def _stoppable(progress: Progress, stop: Event, title: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
    with progress(title, size, done) as on_position:

        def reach(position: int) -> None:
            if stop.is_set():
                raise _Stopped
            on_position(position)

        yield reach


def _unpack(data_set: DataSet, step: Step, staging: Path, allowed: Allowance, progress: Progress) -> None:
    with progress(f"unpack {step.archive.name}", step.archive.size, 0) as on_position:
        unpack_whole(data_set, step.archive, step.path, staging, allowed, on_position)
    if step.is_removed:
        step.path.unlink()


def _remove(archives: Iterable[Archive], out: Path) -> None:
    """Remove archives in `out` whose content is on the disk; a file that only bears the name stays."""
    for archive in archives:
        path = out / archive.name
        if path.is_file() and path.stat().st_size == archive.size:
            path.unlink()


def _summary(failures: Sequence[AscMrkdError], data_set: DataSet, out: Path) -> AscMrkdError:
    """Return one error for all archives that failed."""
    first = failures[0]
    hint = f"{first.hint}; {_state(data_set, out)}" if len(data_set.archives) > 1 else first.hint
    if len(failures) == 1:
        return type(first)(str(first), hint)
    return DownloadError("\n".join([f"{len(failures)} archives failed", *map(str, failures)]), hint)


def _disk_full(data_set: DataSet, steps: Sequence[Step], out: Path, jobs: int) -> DataError:
    """Return the error for a disk that became full on the way."""
    more = max(space_needed(data_set, steps, jobs) - shutil.disk_usage(out).free, 0)
    needed = f", {amount(more)} more are needed" if more else ""
    return DataError(f"{out.resolve()}: the disk is full{needed}", f"make room; {_state(data_set, out)}")


def _state(data_set: DataSet, out: Path) -> str:
    """Return what is kept."""
    count = sum(is_unpacked(data_set, archive, out) for archive in data_set.archives)
    return f"{count} of {len(data_set.archives)} archives are unpacked, begun ones are kept; the same command continues"
