"""Containers of sound files: is the file whole, and where does its sound begin; decoding of 24-bit samples.

libsndfile opens a cut file without a word, so the chunks are checked here. Samples of 24 bits, the format of the DCASE
recordings, are decoded here too: with the bits of libsndfile in a quarter of its time.
"""

import struct
from dataclasses import dataclass
from io import FileIO
from typing import BinaryIO

import numpy as np

from asc_mrkd.audio.mpeg import MpegLength, measure_mpeg

CONTAINERS = "WAV, RF64, AIFF, AU, CAF, W64, FLAC, Ogg, MP3"
"""Containers that are read; libsndfile knows others, among them tables of numbers and files that it prints."""

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Suffixes of sound files, in lower case, by which they are found in a folder; a file in a list may have any."""

BLOCK_SAMPLES = 2**17
"""Samples of all channels that are decoded at once, in the cache."""


@dataclass(frozen=True)
class Contents:
    """Facts from the container of a file."""

    cut: bool = False
    """The file ends before its sound does."""
    start: int | None = None
    """Position of the sound (bytes) in a WAV or RF64 file, whose numbers are little-endian."""
    mpeg: MpegLength | None = None
    """Length of an MP3."""


@dataclass(frozen=True)
class _ChunkLayout:
    """Layout of the chunks in a family of containers."""

    start: int
    """Number of bytes before the first chunk."""
    name_bytes: int
    """Number of bytes of a chunk's name, before its size."""
    size_format: str
    """Format of the size, as for struct."""
    counted: int
    """Number of header bytes that the size of a chunk includes."""
    alignment: int
    """Alignment of the chunks (bytes)."""
    sound: bytes
    """Start of the name of the chunk with the sound."""


_CHUNK_LAYOUTS = {
    b"RIFF": _ChunkLayout(12, 4, "<I", 0, 2, b"data"),
    b"RIFX": _ChunkLayout(12, 4, ">I", 0, 2, b"data"),
    b"RF64": _ChunkLayout(12, 4, "<I", 0, 2, b"data"),
    b"FORM": _ChunkLayout(12, 4, ">I", 0, 2, b"SSND"),
    b"riff": _ChunkLayout(40, 16, "<Q", 24, 8, b"data"),
    b"caff": _ChunkLayout(8, 4, ">Q", 0, 1, b"data"),
}
_LITTLE_ENDIAN = (b"RIFF", b"RF64")
_FORMS = {b"RIFF": (b"WAVE",), b"RIFX": (b"WAVE",), b"RF64": (b"WAVE",), b"FORM": (b"AIFF", b"AIFC")}
_AU_BYTE_ORDER = {b".snd": ">", b"dns.": "<"}
_AU_HEADER_BYTES = 24
_UNKNOWN_AU_SIZE = 2**32 - 1
_MAX_CHUNKS = 1000
_OGG_PAGE_BYTES = 65_307
_OGG_HEADER_BYTES = 23
_OGG_END_OF_STREAM = 4


def read_contents(stream: BinaryIO, size: int) -> Contents | None:
    """Read the container of a file of `size` bytes; None if it is not one of CONTAINERS."""
    head = stream.read(12)
    magic = head[:4]
    form = head[8:]
    if magic in _CHUNK_LAYOUTS and form in _FORMS.get(magic, (form,)):
        cut, start = _find_sound(stream, size, _CHUNK_LAYOUTS[magic])
        return Contents(cut, start if magic in _LITTLE_ENDIAN else None)
    if magic in _AU_BYTE_ORDER and len(head) == 12:
        start, sound_bytes = struct.unpack_from(_AU_BYTE_ORDER[magic] + "II", head, 4)
        if start < _AU_HEADER_BYTES:
            return None  # libsndfile decodes such a file differently each time
        return Contents(cut=sound_bytes != _UNKNOWN_AU_SIZE and start + sound_bytes > size)
    if magic == b"OggS":
        return Contents(cut=_is_last_ogg_page_cut(stream, size))
    if magic == b"fLaC":
        return Contents()
    if magic[:3] == b"ID3" or (magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"):
        mpeg = measure_mpeg(stream, size)
        return Contents(cut=mpeg is not None and mpeg.cut, mpeg=mpeg)
    return None


def _find_sound(stream: BinaryIO, size: int, layout: _ChunkLayout) -> tuple[bool, int | None]:
    """Walk the chunks to the sound; return whether the file ends before the sound does, and its position (bytes)."""
    position = layout.start
    rf64_size = None
    head_bytes = layout.name_bytes + struct.calcsize(layout.size_format)
    unknown_size = 256 ** struct.calcsize(layout.size_format) - 1  # a stream whose writer could not go back
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        head = stream.read(24)
        if len(head) < head_bytes:
            return True, None
        chunk_size = struct.unpack_from(layout.size_format, head, layout.name_bytes)[0]
        if head[:4] == b"ds64" and len(head) == 24:
            rf64_size = struct.unpack_from("<Q", head, 16)[0]  # the true size of the sound
        if head.startswith(layout.sound):
            if chunk_size == unknown_size:
                chunk_size = rf64_size or 0
            end = position + head_bytes - layout.counted + chunk_size
            return end > size, position + head_bytes
        end = position + head_bytes - layout.counted + chunk_size
        if not position < end <= size:
            return True, None
        position = end + -end % layout.alignment
    return False, None


def _is_last_ogg_page_cut(stream: BinaryIO, size: int) -> bool:
    """Return whether the last Ogg page (RFC 3533) is incomplete or does not end the stream."""
    stream.seek(max(0, size - _OGG_PAGE_BYTES))
    _, found, page = stream.read().rpartition(b"OggS")
    if not found or len(page) < _OGG_HEADER_BYTES:
        return True
    ends_stream = page[1] & _OGG_END_OF_STREAM
    segments = page[22]
    payload = sum(page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + segments])
    return not ends_stream or len(page) < _OGG_HEADER_BYTES + segments + payload


def read_pcm24(stream: FileIO, start: int, frames: int, channels: int) -> np.ndarray:
    """Read little-endian 24-bit samples as float32 (channel, sample), full scale = 1; fewer if the file ends early.

    Args:
        stream: unbuffered file.
        start: position of the first sample (bytes).
        frames: number of samples per channel.
        channels: number of interleaved channels.
    """
    samples = np.empty((channels, frames), np.float32)
    step = max(1, BLOCK_SAMPLES // channels)
    data = bytearray(1 + 3 * channels * step)  # one byte before: a sample is the upper three bytes of an integer
    stream.seek(start)
    for first in range(0, frames, step):
        block = samples[:, first : first + step]
        block_bytes = 3 * block.size
        if stream.readinto(memoryview(data)[1 : 1 + block_bytes]) < block_bytes:
            return samples[:, :first]
        words = np.ndarray(block.shape, "<i4", data, strides=(3, 3 * channels))
        block[...] = np.right_shift(words, 8, order="C")
        block *= np.float32(2**-23)
    return samples
