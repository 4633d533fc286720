"""FLAC files: several in one, and those whose header does not know their length.

libsndfile reads as many samples as the header claims and stops. Behind a header that claims none it reads to the end,
and reports a file that is cut within a frame.
"""

import re
from dataclasses import dataclass
from io import RawIOBase

from asc_mrkd.audio.reasons import RefusalError
from asc_mrkd.audio.section import Section
from asc_mrkd.audio.tags import read_at, strip_tail_tag

_START = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # with the type and the size of the block that must follow
_START_BYTES = 8
_HEAD_BYTES = 42
_LENGTH = 18  # position of a word whose lower 36 bits are the number of samples per channel
_SEARCHED_BYTES = 2**18


@dataclass(frozen=True)
class FlacStream:
    """One FLAC stream."""

    claimed: int
    """Number of samples per channel by the header; 0 for unknown."""
    open_ended: RawIOBase
    """The stream behind a header that claims no length."""
    plain: RawIOBase
    """The stream as it is."""


def split_flac(stream: RawIOBase, size: int) -> list[FlacStream]:
    """Return the FLAC streams that follow each other in a file of `size` bytes that starts with one."""
    starts = [0, *_find_starts(stream, size)]
    ends = [*starts[1:], strip_tail_tag(stream, size)]
    return [_open_flac(stream, start, end) for start, end in zip(starts, ends, strict=True)]


def _find_starts(stream: RawIOBase, size: int) -> list[int]:
    """Return the positions of further headers."""
    starts = []
    buffer = bytearray(
        _SEARCHED_BYTES + _START_BYTES - 1
    )  # one for all, because fresh memory takes longer than the search
    for position in range(_START_BYTES, size, _SEARCHED_BYTES):
        stream.seek(position)
        count = stream.readinto(buffer) or 0
        starts += [position + match.start() for match in _START.finditer(buffer, 0, count)]
    return starts


def _open_flac(stream: RawIOBase, start: int, end: int) -> FlacStream:
    if end - start < _HEAD_BYTES:
        raise RefusalError("damaged", "its head is cut")
    plain = Section(stream, [(start, end)])
    word = int.from_bytes(read_at(plain, _LENGTH, 8), "big")
    open_ended = Section(stream, [(start, start + _LENGTH), (word >> 36 << 36).to_bytes(8, "big"), (start + 26, end)])
    return FlacStream(word & (2**36 - 1), open_ended, plain)
