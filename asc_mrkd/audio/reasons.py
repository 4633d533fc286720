"""Reasons to refuse a recording, each with a code, its meaning and the next thing to do."""

REASONS: dict[str, str] = {
    "missing": "the file is missing",
    "no_permission": "the file may not be read",
    "unreadable": "the system failed to read the file",
    "empty": "the file holds no sound at all",
    "not_audio": "this is not a sound file",
    "other_kind": "this kind of sound file is not read",
    "damaged": "the file cannot be decoded",
    "truncated": "the file ends before its sound does",
    "too_long": "the recording is too long to be read in one piece",
    "wrong_length": "the recording does not have the expected length",
    "wrong_rate": "the recording does not have the expected sample rate",
    "wrong_channels": "the recording has too few channels",
    "silent": "every sample is zero",
    "non_finite": "some samples are NaN or infinite",
    "out_of_range": "samples lie far beyond full scale, as when integers were saved as floats",
    "crashed": "the process that read it died or took too long",
}
"""Meaning of each reason code of an AudioError."""

CHECK_DATA = "asc-mrkd check-data lists all such clips of a data set"
"""Hint where the reason says everything."""

HINTS: dict[str, str] = {
    "missing": "look at the spelling of the path and at the current folder",
    "no_permission": "chmod +r gives the permission",
    "unreadable": "look at the disk, the network and the free memory, and try again",
    "truncated": f"copy or download the file again; {CHECK_DATA}",
    "too_long": "cut it into shorter files, as with ffmpeg -i IN -f segment -segment_time 600 OUT%03d.wav",
    "other_kind": "ffmpeg -i IN OUT.wav converts it",
}
"""Hint of each reason code; CHECK_DATA for the others."""


class RefusalError(Exception):
    """A recording cannot be used.

    Args:
        reason: a key of REASONS.
        detail: the fault in this very file, with its numbers.
        hint: the next thing to do; by default that of the reason.
    """

    def __init__(self, reason: str, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.hint = hint or HINTS.get(reason, CHECK_DATA)
