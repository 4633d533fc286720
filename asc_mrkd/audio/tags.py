"""Tags that programs put before and behind the sound of any file, and padding with zeros."""

from io import RawIOBase

TAIL_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
"""Starts of the tags that may follow the sound: ID3v1, APE, Lyrics3, ID3v2 and its footer."""

MAX_ZEROS = 2**16
"""Largest number of zeros (bytes) that count as padding to the block of a disk, not as sound."""

_ID3V1_BYTES = 128
_ID3V2_HEAD_BYTES = 10
_ID3V2_FOOTER = 0x10


def read_at(stream: RawIOBase, position: int, size: int) -> bytes:
    """Return up to `size` bytes from a position on."""
    stream.seek(position)
    return stream.read(size) or b""


def skip_id3(stream: RawIOBase, position: int) -> int:
    """Return the position behind the ID3v2 tags that start at `position`; their size is stored in 4 x 7 bits."""
    while True:
        head = read_at(stream, position, _ID3V2_HEAD_BYTES)
        if head[:3] != b"ID3" or len(head) < _ID3V2_HEAD_BYTES:
            return position
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        footer = _ID3V2_HEAD_BYTES if head[5] & _ID3V2_FOOTER else 0
        position += _ID3V2_HEAD_BYTES + size + footer


def skip_zeros(stream: RawIOBase, position: int) -> int:
    """Return the position behind the zeros that start at `position`, at most MAX_ZEROS further."""
    data = read_at(stream, position, MAX_ZEROS)
    return position + len(data) - len(data.lstrip(b"\0"))


def is_padding(stream: RawIOBase, position: int, size: int) -> bool:
    """Return whether only a tag or a few zeros lie between `position` and the end of a file of `size` bytes."""
    if read_at(stream, position, 16).startswith(TAIL_TAGS):
        return True
    return skip_zeros(stream, position) >= size


def strip_tail_tag(stream: RawIOBase, size: int) -> int:
    """Return where a file of `size` bytes ends without an ID3v1 tag."""
    start = max(0, size - _ID3V1_BYTES)
    return start if read_at(stream, start, 3) == b"TAG" else size
