"""What is left to do for a data set: which archives lie where, and the space that the rest takes."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asc_mrkd.data.archives import Archive, DataSet
from asc_mrkd.data.download import part_of
from asc_mrkd.data.staging import is_unpacked
from asc_mrkd.errors import DataError, suggest


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
        f"{out.resolve()} has {amount(free)} left, {amount(needed)} are needed, {amount(needed - free)} more",
        f"make room, choose another folder with --out{advice}",
    )


def amount(size: int) -> str:
    """Return a number of bytes as people say it.

    >>> amount(21_353_171_682), amount(1_234_567)
    ('21.4 GB', '1.2 MB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 10**8 else f"{size / 1e6:,.1f} MB"


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
