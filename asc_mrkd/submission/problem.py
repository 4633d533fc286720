"""One fault of a submission."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where.

    >>> print(Problem("a.output.csv", 7, "duplicate-file", "3.wav was listed in line 2"))
    a.output.csv, line 7: [duplicate-file] 3.wav was listed in line 2
    """

    file: str
    line: int | None
    """Line in `file`, counted from 1; None for the file as a whole."""
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"
    """An error keeps the submission from being sent; a warning is for the author to decide."""

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line}"
        return f"{self.file}{line}: [{self.code}] {self.message}"
