"""The ledger of an extraction that is under way: a line a row, written after the row itself."""

import csv
import errno
import os
from pathlib import Path

from asc_mrkd.store.worker import Outcome

LEDGER = "ledger.csv"
"""Lines `row,crc32,reason`; the checksum is empty for a clip that cannot be used."""


def ledger_line(row: int, crc32: int, reason: str) -> str:
    """Return the line of a row."""
    return f"{row},{'' if reason else crc32},{reason}\n"


class Ledger:
    """Append-only; a line that a kill or a full disk has torn is not believed and its row done again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        text = self.path.read_bytes() if self.path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            os.truncate(self.path, len(whole))
        lines = csv.reader(whole.decode(errors="replace").splitlines())
        self.checksums = {
            int(line[0]): int(line[1]) for line in lines if len(line) == 3 and line[0].isdigit() and line[1].isdigit()
        }
        """crc32 of the rows that were written."""

    def __enter__(self) -> "Ledger":
        self._stream = open(self.path, "ab", buffering=0)  # closed by __exit__
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def write(self, outcome: Outcome) -> None:
        """Add a line, in one system call: a kill tears at most this one."""
        line = ledger_line(outcome.row, outcome.crc32, outcome.reason).encode()
        if self._stream.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
