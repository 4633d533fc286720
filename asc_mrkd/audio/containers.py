"""Samples of 24 bits, the format of the DCASE recordings: the bits of libsndfile in a quarter of its time."""

import struct
from dataclasses import dataclass
from io import FileIO
from typing import BinaryIO

import numpy as np

from asc_mrkd.audio.mpeg import MpegLength, measure_mpeg

KINDS = "WAV, RF64, AIFF, AU, CAF, W64, FLAC, Ogg, MP3"
"""The kinds of files that are read; libsndfile knows others, among them tables of numbers and files that it prints."""


@dataclass(frozen=True)
class Contents:
    """What the container of a file tells.

    Attributes:
        cut: the file ends too early.
        start: where the sound begins, in bytes, if it is a WAV or RF64 file, whose numbers are little-endian.
        mpeg: the length of an MP3.
    """

    cut: bool = False
    start: int | None = None
    mpeg: MpegLength | None = None


@dataclass(frozen=True)
class _Chunks:
    """How a family of containers lays out its chunks.

    Args:
        start: bytes before the first chunk.
        name_bytes: bytes of a chunk's name, before its size.
        size_format: of the size, as for struct.
        counted: bytes of its own head that the size of a chunk includes.
        alignment: a chunk starts at a multiple of so many bytes.
        sound: how the name of the chunk with the sound begins.
    """

    start: int
    name_bytes: int
    size_format: str
    counted: int
    alignment: int
    sound: bytes


_CHUNKS = {
    b"RIFF": _Chunks(12, 4, "<I", 0, 2, b"data"),
    b"RIFX": _Chunks(12, 4, ">I", 0, 2, b"data"),
    b"RF64": _Chunks(12, 4, "<I", 0, 2, b"data"),
    b"FORM": _Chunks(12, 4, ">I", 0, 2, b"SSND"),
    b"riff": _Chunks(40, 16, "<Q", 24, 8, b"data"),
    b"caff": _Chunks(8, 4, ">Q", 0, 1, b"data"),
}
_LITTLE_ENDIAN = (b"RIFF", b"RF64")
_FORMS = {b"RIFF": (b"WAVE",), b"RIFX": (b"WAVE",), b"RF64": (b"WAVE",), b"FORM": (b"AIFF", b"AIFC")}
_AU_BYTE_ORDER = {b".snd": ">", b"dns.": "<"}
_AU_HEADER_BYTES = 24
_MAX_CHUNKS = 1000
_OGG_PAGE_BYTES = 65_307
_OGG_END_OF_STREAM = 4


def read_contents(stream: BinaryIO, size: int) -> Contents | None:
    """Look at the container of a file of `size` bytes; None where the file is no sound of a kind in KINDS."""
    head = stream.read(12)
    magic = head[:4]
    if magic in _CHUNKS and head[8:] in _FORMS.get(magic, (head[8:],)):
        cut, start = _find_sound(stream, size, _CHUNKS[magic])
        return Contents(cut, start if magic in _LITTLE_ENDIAN else None)
    if magic in _AU_BYTE_ORDER and len(head) == 12:
        start, promised = struct.unpack_from(_AU_BYTE_ORDER[magic] + "II", head, 4)
        if start < _AU_HEADER_BYTES:
            return None  # libsndfile reads something else each time
        return Contents(cut=promised != 2**32 - 1 and start + promised > size)
    if magic == b"OggS":
        return Contents(cut=_last_ogg_page_is_cut(stream, size))
    if magic == b"fLaC":
        return Contents()
    if magic[:3] == b"ID3" or (magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"):
        mpeg = measure_mpeg(stream, size)
        return Contents(cut=mpeg is not None and mpeg.cut, mpeg=mpeg)
    return None


def _find_sound(stream: BinaryIO, size: int, chunks: _Chunks) -> tuple[bool, int | None]:
    """Walk the chunks to the sound; return whether the file ends before it does, and where it begins (bytes)."""
    position, large_size = chunks.start, None
    head_bytes = chunks.name_bytes + struct.calcsize(chunks.size_format)
    unknown = 256 ** struct.calcsize(chunks.size_format) - 1  # a stream whose writer could not go back
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        head = stream.read(24)
        if len(head) < head_bytes:
            return True, None
        promised = struct.unpack_from(chunks.size_format, head, chunks.name_bytes)[0]
        if head[:4] == b"ds64" and len(head) == 24:
            large_size = struct.unpack_from("<Q", head, 16)[0]  # RF64: the true size of the sound
        if head.startswith(chunks.sound):
            promised = large_size if promised == unknown else promised
            end = position + head_bytes - chunks.counted + (promised or 0)
            return end > size, position + head_bytes
        end = position + head_bytes - chunks.counted + promised
        if not position < end <= size:
            return True, None
        position = end + -end % chunks.alignment
    return False, None


def _last_ogg_page_is_cut(stream: BinaryIO, size: int) -> bool:
    """Whether the last Ogg page (RFC 3533) is not whole or does not end the stream."""
    stream.seek(max(0, size - _OGG_PAGE_BYTES))
    _, found, page = stream.read().rpartition(b"OggS")
    if not found or len(page) < 23:
        return True
    flags, segments = page[1], page[22]
    payload = sum(page[23 : 23 + segments])
    return not flags & _OGG_END_OF_STREAM or len(page) < 23 + segments + payload


BLOCK = 2**17
"""Samples of all channels that are decoded while they are in the cache."""


def read_pcm24(stream: FileIO, start: int, frames: int, channels: int) -> np.ndarray:
    """Read little-endian samples of 24 bits as float32 (channel, sample), full scale = 1; fewer where the file ends.

    Args:
        stream: an unbuffered file.
        start: where the first sample lies (bytes).
        frames: samples of a channel.
        channels: they take turns.
    """
    samples = np.empty((channels, frames), np.float32)
    step = max(1, BLOCK // channels)
    data = bytearray(1 + 3 * channels * step)  # one before: a sample is the upper three bytes of an integer
    stream.seek(start)
    for first in range(0, frames, step):
        block = samples[:, first : first + step]
        if stream.readinto(memoryview(data)[1 : 1 + 3 * block.size]) < 3 * block.size:
            return samples[:, :first]
        words = np.ndarray(block.shape, "<i4", data, strides=(3, 3 * channels))
        block[...] = np.right_shift(words, 8, order="C")
        block *= np.float32(2**-23)
    return samples
