"""What a data doctor reports: one finding for one thing that is wrong."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: what it is; check_dataset and check_images list theirs.
        subject: the clip, image, file, list, split, location or class.
        detail: the figures behind it.
        severity: "error" for what cannot be used, "warning" for everything else.
    """

    code: str
    subject: str
    detail: str
    severity: Severity


def unusable(findings: list[Finding]) -> list[str]:
    """Name the subjects of the errors, each once.

    >>> unusable([Finding("silent", "b.wav", "", "error"), Finding("wrong_rate", "a.wav", "", "warning")])
    ['b.wav']
    """
    return sorted({finding.subject for finding in findings if finding.severity == "error"})
