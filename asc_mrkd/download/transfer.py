"""Download one published file: from several addresses, resumed where it was cut, checked before it gets its name."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import requests

from asc_mrkd.download.catalogue import Archive
from asc_mrkd.errors import DownloadError, first_line
from asc_mrkd.files import file_md5, sync_folder
from asc_mrkd.progress import Progress, no_progress

ROUNDS = 5
"""Rounds over all addresses, as long as every round brings something."""

PAUSE = 5.0
"""Seconds before a busy server is asked again, times the number of the round."""

BUSY = (429, 500, 502, 503, 504)
"""Status codes of a server that may have the file a little later."""

CHUNK = 2**15
"""Bytes that are written at a time, and the most that a cut connection loses."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""

Advance = Callable[..., None]


class Stopped(Exception):
    """The command ends, so the download stops."""


class _ServerBusy(DownloadError):
    """The server answers, but has no time now."""


def download_archive(
    archive: Archive, path: Path, progress: Progress = no_progress, title: str = "", stop: Event | None = None
) -> None:
    """Download an archive to `path`.

    Its bytes are kept in `<path>.part` and resumed from there, by this call or the next one. The part becomes `path`
    when size and md5 are right.

    Args:
        archive: row of the catalogue.
        path: file to write.
        progress: shows the bytes.
        title: title for the progress; by default the name of the file.
        stop: event that stops the download as soon as it is set.

    Raises:
        DownloadError: no address gave the file.
        OSError: the disk failed or is full; the bytes that had arrived are kept.
        Stopped: `stop` was set; the bytes that had arrived are kept.
    """
    stop = stop or Event()
    part = part_of(path)
    failures: list[tuple[str, DownloadError]] = []
    with progress(title or path.name, archive.size, "bytes", file_size(part)) as advance:
        for number in range(1, ROUNDS + 1):
            before = file_size(part)
            failures = []
            for address in archive.addresses:
                try:
                    _complete(part, archive, address, advance, stop)
                except DownloadError as error:
                    failures.append((address, error))
                else:
                    os.replace(part, path)
                    sync_folder(path.parent)
                    return
            is_busy = any(isinstance(error, _ServerBusy) for _, error in failures)
            if not is_busy and file_size(part) <= before:
                break
            if is_busy and number < ROUNDS and stop.wait(PAUSE * number):
                raise Stopped
    raise _give_up(archive, path, failures)


def part_of(path: Path) -> Path:
    """Return the path of the bytes that have arrived of a file, or of the unfinished part of a folder."""
    return path.with_name(f"{path.name}.part")


def file_size(path: Path) -> int:
    """Return the bytes of a file; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def find_mismatch(path: Path, archive: Archive) -> str:
    """Return the difference between a file and the published archive, or "" if there is none.

    The size is compared first.
    """
    size = file_size(path)
    if size != archive.size:
        return f"{size:,} bytes, not {archive.size:,}"
    md5 = file_md5(path)
    return "" if md5 == archive.md5 else f"md5 {md5}, not {archive.md5}"


def _complete(part: Path, archive: Archive, address: str, advance: Advance, stop: Event) -> None:
    """Bring `part` to its full size from one address and compare it; a full one that is wrong is removed."""
    try:
        if file_size(part) < archive.size:
            _receive(part, archive.size, address, advance, stop)
        mismatch = find_mismatch(part, archive)
        if mismatch:
            raise DownloadError(f"it gave {mismatch}")
    except DownloadError:
        size = file_size(part)
        if not 0 < size < archive.size:
            advance(-size)
            part.unlink(missing_ok=True)
        raise


def _receive(part: Path, size: int, address: str, advance: Advance, stop: Event) -> None:
    """Append the answer of a server to `part`, from the first byte that is missing."""
    with open(part, "ab") as stream:
        start = stream.tell()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
                if response.headers.get("Content-Type", "").startswith("text/html"):
                    raise DownloadError("the answer is a web page, as of a login")
                is_range = response.status_code == requests.codes.partial_content
                expected = size - start if is_range else size
                length = int(response.headers.get("Content-Length", expected))
                if length != expected:
                    raise DownloadError(f"the answer has {length:,} bytes, {expected:,} were expected")
                if start and not is_range:
                    stream.truncate(0)
                    advance(-start)
                for chunk in response.iter_content(CHUNK):
                    if stop.is_set():
                        raise Stopped
                    stream.write(chunk)
                    stream.flush()
                    advance(len(chunk))
                    if stream.tell() > size:
                        raise DownloadError(f"the answer has more than {size:,} bytes")
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            kind = _ServerBusy if status in BUSY else DownloadError
            raise kind(_explain(error)) from None
        os.fsync(stream.fileno())


def _explain(error: requests.RequestException) -> str:
    """Return the reason of a failed request: the cause behind its retries, if there were any."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return first_line(cause if isinstance(cause, Exception) else error)


def _give_up(archive: Archive, path: Path, failures: Sequence[tuple[str, DownloadError]]) -> DownloadError:
    """Return the error for an archive that no address gave."""
    reasons = "; ".join(f"{address}: {error}" for address, error in failures)
    hint = f"download {archive.addresses[0]} by hand, put it into {path.parent} and try again"
    size = file_size(part_of(path))
    if size:
        hint += f"; {size:,} of {archive.size:,} bytes are kept, the same command goes on from there"
    return DownloadError(f"{path.name} could not be downloaded; {reasons}", hint)
