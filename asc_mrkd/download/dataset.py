"""Fetching a data set: its archives at hand or downloaded, several at once, each unpacked as soon as it is whole."""

import errno
import filecmp
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Semaphore

from asc_mrkd.download.catalogue import Archive, DataSet, find_gap
from asc_mrkd.download.transfer import Progress, download, in_threads, mismatch, part_of, silent
from asc_mrkd.download.unpack import Allowance, unpack
from asc_mrkd.errors import AscMrkdError, DataError, DownloadError, suggest
from asc_mrkd.files import LOCK, exclusive_lock, format_bytes, sync_folder

GROWTH = 4
"""Most bytes unpacked for each byte of the archives; pictures and sound hardly shrink."""

MEMBERS = 1_000_000
"""Most files and folders of a data set."""


@contextmanager
def staging_folder(data_set: DataSet, out: Path) -> Iterator[Path]:
    """Make or open the staging folder beside the data set folder; one that holds nothing in the end is removed.

    Raises:
        DataError: another command works there.
    """
    staging = part_of(out / data_set.folder)
    staging.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(staging, DataError):
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


@dataclass(frozen=True)
class Step:
    """One archive that is not unpacked yet."""

    archive: Archive
    path: Path
    """Where it lies or will lie."""
    at_hand: bool
    is_removed: bool
    """Whether it goes when its content is on the disk."""


def steps_of(
    data_set: DataSet, out: Path, given: str | os.PathLike[str] | None = None, remove_archives: bool = False
) -> list[Step]:
    """Return the archives that are still to be unpacked; those that lie in `out` or `given` have the right size.

    Raises:
        DataError: `given` is or holds none of the archives, or one at hand has another size.
    """
    missing = [archive for archive in data_set.archives if not is_unpacked(data_set, archive, out)]
    found = {} if given is None else _given(data_set.archives, Path(given), bool(set(data_set.archives) - set(missing)))
    steps = []
    for archive in missing:
        path = found.get(archive, out / archive.name)
        at_hand = path.is_file()
        if at_hand and path.stat().st_size != archive.size:
            raise wrong_archive(path, archive, f"{path.stat().st_size:,} bytes, not {archive.size:,}")
        is_inside = path.parent.resolve() == out.resolve()
        steps.append(Step(archive, path, at_hand, remove_archives and is_inside))
    return steps


def wrong_archive(path: Path, archive: Archive, wrong: str) -> DataError:
    """Return the error for a file that is not the archive as published."""
    message = f"{path} is not {archive.name} as it was published: {wrong}"
    return DataError(message, "move it away; the same command downloads it")


def space_needed(data_set: DataSet, steps: Sequence[Step], jobs: int) -> int:
    """Return the bytes that the steps take at their worst moment, beyond what is on the disk now.

    Archives that are removed make room for those that come `jobs` places behind them; others are all there in the end.
    """
    share = data_set.size_unpacked / max(data_set.size, 1)
    ahead = jobs if any(step.is_removed for step in steps) else len(steps)
    arriving = [0 if step.at_hand else step.archive.size - _part_size(step) for step in steps]
    used = worst = sum(arriving[:ahead])
    for number, step in enumerate(steps):
        used += round(step.archive.size * share)
        worst = max(worst, used)
        used += sum(arriving[number + ahead : number + ahead + 1]) - step.archive.size * step.is_removed
        worst = max(worst, used)
    return worst


def check_space(data_set: DataSet, steps: Sequence[Step], out: Path, jobs: int) -> None:
    """Compare the free bytes with those that are needed.

    Raises:
        DataError: there are too few.
    """
    free, needed = shutil.disk_usage(out).free, space_needed(data_set, steps, jobs)
    if free >= needed:
        return
    removed = all(step.is_removed for step in steps)
    advice = "" if removed else " or remove archives once they are unpacked with --remove-archives"
    raise DataError(
        f"{out.resolve()} has {format_bytes(free)} left, {format_bytes(needed)} are needed, "
        f"{format_bytes(needed - free)} more",
        f"make room, choose another folder with --out{advice}",
    )


def _given(archives: Sequence[Archive], given: Path, is_begun: bool) -> Mapping[Archive, Path]:
    """Return the archives that the user points at: one, or the folder of some; all may be gone if unpacking has begun.

    An archive that is alone may have any name.
    """
    names = [archive.name for archive in archives]
    if given.is_dir():
        found = {archive: given / archive.name for archive in archives if (given / archive.name).is_file()}
    elif given.is_file():
        if len(archives) > 1 and given.name not in names:
            raise DataError(f"{given} has the name of none of the {len(names)} archives", suggest(given.name, names))
        found = {archives[names.index(given.name) if len(archives) > 1 else 0]: given}
    else:
        found = {}
    if not found and not is_begun:
        missing = f"{given} holds no such archive as {names[0]}" if given.is_dir() else f"{given}: no such archive"
        raise DataError(missing, f"without --archive {'it' if given.is_dir() else names[0]} is downloaded")
    return found


def _part_size(step: Step) -> int:
    part = part_of(step.path)
    return part.stat().st_size if part.exists() else 0


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
    needed = f", {format_bytes(more)} more are needed" if more else ""
    return DataError(f"{out.resolve()}: the disk is full{needed}", f"make room; {_state(data_set, out)}")


def _state(data_set: DataSet, out: Path) -> str:
    """Return what is kept."""
    count = sum(is_unpacked(data_set, archive, out) for archive in data_set.archives)
    return f"{count} of {len(data_set.archives)} archives are unpacked, begun ones are kept; the same command continues"
