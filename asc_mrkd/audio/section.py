"""A view of a file: some of its parts, and corrected bytes between them, as a separate file."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

Segment = bytes | tuple[int, int]
"""Bytes, or start and end of a part of the underlying file."""


class Section(io.RawIOBase):
    """Read-only file made of segments, of which nothing is copied before it is read.

    Args:
        stream: underlying file; its position is not kept.
        segments: parts in their order.

    >>> Section(io.BytesIO(b"abcdef"), [b"01", (2, 4)]).read()
    b'01cd'
    """

    def __init__(self, stream: io.RawIOBase, segments: Sequence[Segment]) -> None:
        self._stream = stream
        self._segments = segments
        sizes = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in segments]
        self._starts = list(accumulate(sizes, initial=0))
        self._position = 0
        self.size = self._starts[-1]
        """Number of bytes."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position from the start, the current position or the end."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes, fewer only at the end."""
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and self._position < self.size:
            number = bisect_right(self._starts, self._position) - 1
            segment = self._segments[number]
            start = self._position - self._starts[number]
            count = min(self._starts[number + 1] - self._position, len(target) - filled)
            part = target[filled : filled + count]
            if isinstance(segment, bytes):
                part[:] = segment[start : start + count]
            else:
                self._stream.seek(segment[0] + start)
                count = self._stream.readinto(part) or 0
            filled += count
            self._position += count
            if count < len(part):  # the file has become shorter
                break
        return filled
