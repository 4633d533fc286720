"""Downloading one published file: several addresses, continued where it was cut, whole and right or not there."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO

import pooch

from asc_mrkd.errors import DownloadError, first_line
from asc_mrkd.files import sync_folder

Ended = tuple[int, Exception | None]
"""The number of a task that has ended, and its error."""

PATIENCE = 0.5
"""Seconds that a thread has to end after Ctrl-C."""


@contextmanager
def in_threads(tasks: Sequence[Callable[[], None]], jobs: int, stop: Event) -> Iterator[Iterator[Ended]]:
    """Run tasks in order, `jobs` at a time, and give their numbers and errors as they end.

    Args:
        tasks: what to run.
        jobs: how many at a time.
        stop: set when the block is left; tasks that run should look at it, and no other task begins.
    """
    todo, done = SimpleQueue[int](), SimpleQueue[Ended]()
    for number in range(len(tasks)):
        todo.put(number)
    threads = [Thread(target=_work, args=(tasks, todo, done, stop), daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    patience = None
    try:
        yield (done.get() for _ in tasks)
    except KeyboardInterrupt:
        patience = PATIENCE
        raise
    finally:
        stop.set()
        for thread in threads:
            thread.join(patience)


def _work(
    tasks: Sequence[Callable[[], None]], todo: "SimpleQueue[int]", done: "SimpleQueue[Ended]", stop: Event
) -> None:
    while not stop.is_set():
        try:
            number = todo.get_nowait()
        except Empty:
            return
        try:
            tasks[number]()
        except Exception as error:
            done.put((number, error))
        else:
            done.put((number, None))


ROUNDS = 5
"""How often all addresses are tried, as long as every round brings something."""

PAUSE = 5.0
"""Seconds before a server that is busy is asked again, times the number of the round."""

BUSY = (429, 500, 502, 503, 504)
"""Answers of a server that may have the file a little later."""

CHUNK = 2**15
"""Bytes that are written at a time, and the most that a cut connection loses."""

Progress = Callable[[str, int, int], AbstractContextManager[Callable[[int], None]]]
"""progress(title, bytes, bytes done) gives a function that is told the position in bytes."""


@contextmanager
def silent(title: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
    """Show nothing: the Progress of those who want none."""
    yield lambda position: None


def download(path: Path, size: int, md5: str, addresses: Sequence[str], progress: Progress = silent) -> None:
    """Download a file of known size and md5 to `path`.

    What arrives is kept in `<path>.part` and continued from there, by this call or the next one; it becomes `path` when
    size and md5 are right.

    Args:
        path: the file to be.
        size: bytes.
        md5: hexadecimal.
        addresses: where to get it (http, https), in the order of trying.
        progress: told how far it is.

    Raises:
        DownloadError: no address gave the file.
        OSError: the disk failed or is full; what had arrived is kept.
    """
    part = part_of(path)
    with progress(path.name, size, _size(part)) as on_position:
        for number in range(1, ROUNDS + 1):
            before, failures, busy = _size(part), list[str](), False
            for address in addresses:
                try:
                    _complete(part, size, md5, address, on_position)
                except DownloadError as error:
                    failures.append(f"{address}: {error}")
                    busy |= isinstance(error, _Busy)
                else:
                    os.replace(part, path)
                    sync_folder(path.parent)
                    return
            if _size(part) <= before and not busy:
                break
            if busy and number < ROUNDS:
                _wait(PAUSE * number, lambda: on_position(_size(part)))
        at = f"; {_size(part):,} of {size:,} bytes are kept, the same command goes on from there" if _size(part) else ""
        raise DownloadError(
            f"{path.name} could not be downloaded; {'; '.join(failures)}",
            f"download {addresses[0]} by hand, put it into {path.parent} and try again{at}",
        )


def part_of(path: Path) -> Path:
    """Return where what has arrived of a file is kept."""
    return path.with_name(f"{path.name}.part")


def mismatch(path: Path, size: int, md5: str) -> str:
    """Return how a file differs from the published one; nothing when it does not. Its size is looked at first."""
    if _size(path) != size:
        return f"{_size(path):,} bytes, not {size:,}"
    found = file_md5(path)
    return "" if found == md5 else f"md5 {found}, not {md5}"


def file_md5(path: Path) -> str:
    """Return the md5 of a file, hexadecimal."""
    return str(pooch.file_hash(str(path), alg="md5"))


class _Busy(DownloadError):
    """The server answers, but not now."""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _wait(seconds: float, on_tick: Callable[[], None]) -> None:
    """Sleep; `on_tick` may end it by an error."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        on_tick()
        time.sleep(min(left, 0.2))


def _complete(part: Path, size: int, md5: str, address: str, on_position: Callable[[int], None]) -> None:
    """Bring `part` to its full size from one address and compare it; a full one that is wrong is removed."""
    try:
        if _size(part) < size:
            _receive(part, size, address, on_position)
        if wrong := mismatch(part, size, md5):
            raise DownloadError(f"it gave {wrong}")
    except DownloadError:
        if not 0 < _size(part) < size:
            part.unlink(missing_ok=True)
        raise


def _receive(part: Path, size: int, address: str, on_position: Callable[[int], None]) -> None:
    with open(part, "ab") as stream:
        headers = {"Accept-Encoding": "identity"}
        if stream.tell():
            headers["Range"] = f"bytes={stream.tell()}-"
        meter = _Meter(stream, size, on_position)
        try:
            pooch.HTTPDownloader(progressbar=meter, chunk_size=CHUNK, headers=headers)(address, stream, None)
        except OSError as error:
            if error.errno is not None:  # the disk's: those of the network carry no number
                raise
            status = getattr(getattr(error, "response", None), "status_code", None)
            raise (_Busy if status in BUSY else DownloadError)(_reason(error)) from None
        stream.flush()
        os.fsync(stream.fileno())


def _reason(error: OSError) -> str:
    """Return why a request failed: what is behind the retries, where there were some."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return first_line(cause if isinstance(cause, Exception) else error)


class _Meter:
    """The progress bar that pooch calls: it refuses a wrong length before the first byte, and a body without an end."""

    def __init__(self, stream: IO[bytes], size: int, on_position: Callable[[int], None]) -> None:
        self.stream, self.size, self.on_position = stream, size, on_position

    @property
    def total(self) -> int:
        """Bytes of the whole file; pooch sets it to the length of the answer, 0 where that is unknown."""
        return self.size

    @total.setter
    def total(self, length: int) -> None:
        if length == self.size:
            self.stream.truncate(0)  # the whole file, whether or not a range was asked for
        elif length not in (0, self.size - self.stream.tell()):
            raise DownloadError(f"the answer has {length:,} bytes, {self.size:,} were expected")

    def update(self, count: int) -> None:
        """Note that bytes were written; `count` is what pooch assumes."""
        self.on_position(self.stream.tell())
        if self.stream.tell() > self.size:
            raise DownloadError(f"the answer has more than {self.size:,} bytes")

    def reset(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
