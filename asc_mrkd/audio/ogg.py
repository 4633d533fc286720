"""Ogg streams (RFC 3533): one after the other in a file, finished or not; FLAC inside is unpacked."""

import io
import struct
from dataclasses import dataclass
from io import RawIOBase
from itertools import pairwise

from asc_mrkd.audio.reasons import RefusalError
from asc_mrkd.audio.section import Section, Segment
from asc_mrkd.audio.tags import is_padding, read_at

_PAGE = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, checksum, segments
_START = 2
_END = 4
_FLAGS_AT = 5
_CHECKSUM_AT = slice(22, 26)
_FLAC = b"\x7fFLAC"
_FLAC_HEAD_BYTES = 9
_CODECS = (b"\x01vorbis", b"OpusHead", _FLAC)
_OTHER_CODECS = {b"Speex   ": "Speex", b"\x80theora": "Theora video", b"PCM     ": "PCM", b"BBCD\0": "Dirac video"}


@dataclass
class _Page:
    """Header of a page."""

    position: int
    """Position in the file (bytes)."""
    flags: int
    serial: int
    """Number of the stream."""
    number: int
    """Number of the page in its stream."""
    checksum: int
    payload: int
    """Position of the content (bytes)."""
    end: int
    """Position behind the page (bytes)."""

    @property
    def starts_stream(self) -> bool:
        """Whether it is the first page of its stream."""
        return bool(self.flags & _START)


def split_streams(stream: RawIOBase, size: int) -> list[RawIOBase]:
    """Return the streams that follow each other in an Ogg file, each as a separate file; FLAC as a FLAC file.

    A stream without its end mark, as a live recorder leaves it, is accepted if its last page is whole.

    Raises:
        RefusalError: the file is cut, a page is missing, or the codec is not read.
    """
    links: list[list[_Page]] = []
    position = 0
    while position < size:
        page = _read_page(stream, position, size)
        if page is None:
            break
        if page.starts_stream and (not links or not links[-1][-1].starts_stream):
            links.append([])
        if not links:
            raise RefusalError("damaged", "the start of the stream is missing")
        links[-1].append(page)
        position = page.end
    if not links:
        raise RefusalError("damaged", "it has no Ogg page")
    _require_no_page(stream, position, size)
    return [_open_stream(stream, pages) for pages in links]


def has_damaged_page(stream: RawIOBase) -> bool:
    """Return whether a page of a file does not have its checksum."""
    position = 0
    size = stream.seek(0, io.SEEK_END)
    while position < size:
        page = _read_page(stream, position, size)
        if page is None:
            return True
        data = bytearray(read_at(stream, position, page.end - position))
        data[_CHECKSUM_AT] = bytes(4)
        if _checksum(data) != page.checksum:
            return True
        position = page.end
    return False


def _read_page(stream: RawIOBase, position: int, size: int) -> _Page | None:
    """Read the header of a page; None if there is none.

    Raises:
        RefusalError: the page is cut.
    """
    head = read_at(stream, position, _PAGE.size + 255)
    if head[:4] != b"OggS":
        return None
    if len(head) < _PAGE.size:
        raise RefusalError("truncated", "within the head of an Ogg page")
    _, version, flags, _, serial, number, checksum, segments = _PAGE.unpack_from(head)
    if version:
        return None
    payload = position + _PAGE.size + segments
    end = payload + sum(head[_PAGE.size : _PAGE.size + segments])
    if end > size:
        raise RefusalError("truncated", f"{end - size:,} bytes of the last Ogg page are missing")
    return _Page(position, flags, serial, number, checksum, payload, end)


def _require_no_page(stream: RawIOBase, position: int, size: int) -> None:
    """Refuse a file with a page behind other bytes."""
    if position == size or is_padding(stream, position, size):
        return
    overlap = b""
    while data := read_at(stream, position, 2**20):
        if b"OggS" in overlap + data:
            raise RefusalError("damaged", "other bytes lie between its Ogg pages")
        overlap = data[-3:]
        position += len(data)


def _open_stream(stream: RawIOBase, pages: list[_Page]) -> RawIOBase:
    """Return the file of the sound in pages of one or more streams that are mixed.

    Raises:
        RefusalError: a page is missing, or there is not one sound.
    """
    heads = {page.serial: read_at(stream, page.payload, 8) for page in pages if page.starts_stream}
    sound = _find_sound(heads)
    own = [page for page in pages if page.serial == sound]
    for before, page in pairwise(own):
        if page.number != (before.number + 1) % 2**32:
            raise RefusalError("damaged", f"Ogg pages are missing after page {before.number}")
    first = own[0]
    last = own[-1]
    if heads[sound].startswith(_FLAC):
        parts = [(first.payload + _FLAC_HEAD_BYTES, first.end), *((page.payload, page.end) for page in own[1:])]
        return Section(stream, parts)
    segments: list[Segment] = [(page.position, page.end) for page in own]
    if not last.flags & _END:
        segments[-1] = _with_end_mark(read_at(stream, last.position, last.end - last.position))
    return Section(stream, segments)


def _find_sound(heads: dict[int, bytes]) -> int:
    """Return the number of the stream that is sound, from the first bytes of each.

    Raises:
        RefusalError: there is none whose codec is read, or more than one.
    """
    sounds = [serial for serial, head in heads.items() if head.startswith(_CODECS)]
    if len(sounds) > 1:
        raise RefusalError("damaged", f"{len(sounds)} sounds are mixed in it")
    if sounds:
        return sounds[0]
    for head in heads.values():
        for start, title in _OTHER_CODECS.items():
            if head.startswith(start):
                raise RefusalError("other_kind", f"{title} in Ogg")
    raise RefusalError("damaged", "its codec is unknown")


def _with_end_mark(page: bytes) -> bytes:
    """Return the last page of a stream with its end mark, without which decoders shift or refuse the sound."""
    marked = bytearray(page)
    marked[_FLAGS_AT] |= _END
    marked[_CHECKSUM_AT] = bytes(4)
    marked[_CHECKSUM_AT] = struct.pack("<I", _checksum(marked))
    return bytes(marked)


def _checksum(data: bytes | bytearray) -> int:
    """Return the checksum of a page whose own checksum is zero; polynomial 0x04c11db7."""
    value = 0
    for byte in data:
        value = (value << 8 ^ _TABLE[value >> 24 ^ byte]) & 0xFFFFFFFF
    return value


def _checksum_of_byte(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


_TABLE = [_checksum_of_byte(byte) for byte in range(256)]
