"""Append-only journal of an extraction in progress: one line per finished row, written after the row itself."""

import errno
import os
import re
from pathlib import Path

from asc_mrkd.store.layout import JOURNAL
from asc_mrkd.store.worker import RowResult

WRITTEN = re.compile(r"([0-9]{1,10}),([0-9]{1,10}),[^,]*")
"""Line of a row that was written; a line that is anything else does not count."""


def journal_line(row: int, crc32: int, reason: str) -> str:
    """Return the line of one row."""
    checksum = "" if reason else str(crc32)
    return f"{row},{checksum},{reason}\n"


class Journal:
    """The journal of one store.

    A line that a kill or a full disk has cut does not count, and its row is done again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        text = self.path.read_bytes() if self.path.exists() else b""
        whole_lines = text[: text.rfind(b"\n") + 1]
        if whole_lines != text:
            os.truncate(self.path, len(whole_lines))
        self.checksums: dict[int, int] = {}
        """crc32 of every row that was written."""
        for line in whole_lines.decode(errors="replace").splitlines():
            if written := WRITTEN.fullmatch(line):
                self.checksums[int(written[1])] = int(written[2])

    def __enter__(self) -> "Journal":
        self._stream = open(self.path, "ab", buffering=0)  # closed by __exit__
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def write(self, result: RowResult) -> None:
        """Add a line in one system call, so that a kill cuts at most this one."""
        line = journal_line(result.row, result.crc32, result.reason).encode()
        if self._stream.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
