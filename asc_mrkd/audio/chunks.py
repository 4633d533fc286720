"""Containers made of chunks (WAV, RF64, BW64, W64, AIFF, CAF) and AU: where does the sound begin and end?

The sizes in their headers are not taken at their word. A writer that cannot go back, or dies, leaves a placeholder: the
sound then ends with the file. A size that is too large means a file that was cut; one that is too small would leave out
sound. Such files are refused.
"""

import math
import struct
from dataclasses import dataclass, replace
from io import RawIOBase

from asc_mrkd.audio.pcm import FLOATS, PROBED_BYTES, READ_TAGS, PcmLayout, find_width, parse_format
from asc_mrkd.audio.reasons import RefusalError
from asc_mrkd.audio.section import Section, Segment
from asc_mrkd.audio.tags import is_padding, read_at

PLACEHOLDERS = (2**64 - 1, 2**32 - 1, 2**31, 2**31 - 1, 0x7FFFF000, 0x7F000000)
"""Sizes that writers leave who cannot go back: ffmpeg, arecord, many, SoX for WAV and for AIFF."""

MANY_BYTES = 0x7F000000
"""Smallest size of sound that can be a placeholder, if the size of the whole file is one too."""

UNFINISHED_HINT = "ffmpeg -ignore_length 1 -i IN.wav OUT.wav reads to the end of the file"
_CHUNK_BYTES_KEPT = 2**16
_MAX_CHUNKS = 1000
_NO_CHUNK = "they are not a chunk"
_DS64_BYTES = 16  # size of the file and of the sound in RF64 and BW64
_MAX_RIFF_BYTES = 2**32 - 2**12
_FILE_STARTS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b"OggS", b"fLaC", b".snd")

_SMALL_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"JUNK", b"iXML", b"_PMX", b"COMT", b"info")
"""Names of chunks of words, which may be cut at the end of a file whose sound is whole."""


@dataclass(frozen=True)
class _Family:
    """Layout of the chunks in a family of containers."""

    first_chunk: int
    """Position of the first chunk (bytes)."""
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
    lead: int = 0
    """Number of bytes between the header of that chunk and the first sample."""
    total: int | None = 4
    """Position of the size of the whole file (bytes)."""
    forms: tuple[bytes, ...] = ()
    """Contents that such a file may have, as bytes 8 to 12 say; () if they say something else."""
    is_wave: bool = False
    """A chunk `fmt ` describes the samples, as in WAV."""

    @property
    def header_bytes(self) -> int:
        """Number of bytes of name and size."""
        return self.name_bytes + struct.calcsize(self.size_format)


_WAV = _Family(
    first_chunk=12,
    name_bytes=4,
    size_format="<I",
    counted=0,
    alignment=2,
    sound=b"data",
    forms=(b"WAVE",),
    is_wave=True,
)
_W64 = _Family(
    first_chunk=40, name_bytes=16, size_format="<Q", counted=24, alignment=8, sound=b"data", total=16, is_wave=True
)
_AIFF = _Family(
    first_chunk=12,
    name_bytes=4,
    size_format=">I",
    counted=0,
    alignment=2,
    sound=b"SSND",
    lead=8,
    forms=(b"AIFF", b"AIFC"),
)
_CAF = _Family(first_chunk=8, name_bytes=4, size_format=">Q", counted=0, alignment=1, sound=b"data", lead=4, total=None)
_FAMILIES = {
    b"RIFF": _WAV,
    b"RIFX": replace(_WAV, size_format=">I"),
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"FORM": _AIFF,
    b"riff": _W64,
    b"caff": _CAF,
}
"""Layouts by the first four bytes of a file."""

_AU_BYTE_ORDER = {b".snd": ">", b"dns.": "<"}
_AU_HEADER_BYTES = 24
_MP3 = 0x55  # number of the encoding
_BLOCK_FRAMES_AT = 18  # place in a `fmt ` chunk of the number of samples in a compressed block


@dataclass(frozen=True)
class Sound:
    """The sound in a file: samples to decode here, or a stream for libsndfile."""

    pcm: PcmLayout | None = None
    stream: RawIOBase | None = None
    is_mpeg: bool = False
    """The stream is an MP3, without the container."""
    frames: int = 0
    """Number of samples per channel by the chunk `fact` of a compressed WAV file, or 0."""
    block_frames: int = 0
    """Number of samples per channel in a compressed block, the last of which may be filled up, or 0."""


@dataclass(frozen=True)
class _Chunks:
    """A file, and its chunks up to the sound."""

    stream: RawIOBase
    size: int
    """Size of the file (bytes)."""
    family: _Family
    sound: int
    """Position of the chunk with the sound (bytes)."""
    start: int
    """Position of the first sample in it (bytes)."""
    claimed: int
    """Size of that chunk by its header (bytes), without header."""
    contents: dict[bytes, bytes]
    """Content of the smaller chunks before, by the first four bytes of their name."""


def is_chunked(head: bytes) -> bool:
    """Return whether a file that starts with these 12 bytes is one of the containers of this module."""
    magic = head[:4]
    if magic in _AU_BYTE_ORDER:
        return len(head) == 12
    family = _FAMILIES.get(magic)
    return family is not None and (not family.forms or head[8:] in family.forms)


def find_sound(stream: RawIOBase, size: int) -> Sound | None:
    """Find the sound in a file of `size` bytes that `is_chunked`; None if it is not a sound file after all.

    Raises:
        RefusalError: the sound is missing, cut, or longer than the header says.
    """
    magic = read_at(stream, 0, 4)
    if magic in _AU_BYTE_ORDER:
        return _find_au_sound(stream, size, _AU_BYTE_ORDER[magic])
    chunks = _walk_to_sound(stream, size, _FAMILIES[magic])
    if chunks.family.is_wave:
        return _find_wave_sound(chunks)
    return Sound(stream=_with_true_sizes(chunks, _find_end(chunks)))


def _find_wave_sound(chunks: _Chunks) -> Sound:
    """Return the samples of a WAV or W64 file, or any other sound behind a plain header for libsndfile."""
    if b"fmt " not in chunks.contents:
        raise RefusalError("damaged", "it has no fmt chunk before its sound")
    stream = chunks.stream
    byte_order = chunks.family.size_format[0]
    wave = parse_format(chunks.contents[b"fmt "], byte_order)
    start = chunks.start
    end = _find_end(chunks, wave.block_bytes)
    if wave.tag not in READ_TAGS:
        raise RefusalError("other_kind", f"WAV with the encoding 0x{wave.tag:04x}")
    if wave.is_linear and end > start:
        is_little_endian = byte_order == "<"
        width = find_width(wave, lambda: _read_sounding(stream, start, end) if is_little_endian else b"")
        if is_little_endian and width <= 4:
            frames = (end - start) // (width * wave.channels)
            return Sound(PcmLayout(start, frames, wave.channels, wave.sample_rate, width, wave.tag == FLOATS))
    if wave.tag == _MP3:
        return Sound(stream=Section(stream, [(start, end)]), is_mpeg=True)
    if end - start > _MAX_RIFF_BYTES:
        raise RefusalError("too_long", f"{end - start:,} bytes of sound")
    sound = Section(stream, [_plain_header(chunks, byte_order, end - start), (start, end)])
    fmt = chunks.contents[b"fmt "]
    fact = chunks.contents.get(b"fact", b"")
    if wave.is_linear or len(fact) < 4 or len(fmt) < _BLOCK_FRAMES_AT + 2:
        return Sound(stream=sound)
    (frames,) = struct.unpack_from(byte_order + "I", fact)
    (block_frames,) = struct.unpack_from(byte_order + "H", fmt, _BLOCK_FRAMES_AT)
    return Sound(stream=sound, frames=frames, block_frames=block_frames)


def _read_sounding(stream: RawIOBase, start: int, end: int) -> bytes:
    """Return the first PROBED_BYTES between two positions that are not all zero; nothing if there are none."""
    for position in range(start, end, PROBED_BYTES):
        data = read_at(stream, position, min(PROBED_BYTES, end - position))
        if data.strip(b"\0"):
            return data
    return b""


def _plain_header(chunks: _Chunks, byte_order: str, size: int) -> bytes:
    """Return the header of a WAV file with `size` bytes of sound that has nothing but the chunks about its samples."""
    body = b"WAVE"
    for name in (b"fmt ", b"fact"):
        content = chunks.contents.get(name)
        if content is not None:
            body += name + struct.pack(byte_order + "I", len(content)) + content + b"\0" * (len(content) % 2)
    body += b"data" + struct.pack(byte_order + "I", size)
    magic = b"RIFF" if byte_order == "<" else b"RIFX"
    return magic + struct.pack(byte_order + "I", len(body) + size) + body


def _with_true_sizes(chunks: _Chunks, end: int) -> RawIOBase:
    """Return an AIFF or CAF file whose header says where its sound ends, for libsndfile; one that does stays as it is.

    Args:
        chunks: the file.
        end: position behind the sound (bytes).
    """
    family = chunks.family
    claimed = end - chunks.start + family.lead
    if chunks.claimed == claimed:
        return chunks.stream
    sound_size = chunks.sound + family.name_bytes
    rest: list[Segment] = [
        struct.pack(family.size_format, claimed),
        (chunks.sound + family.header_bytes, chunks.size),
    ]
    if family.total is None:
        return Section(chunks.stream, [(0, sound_size), *rest])
    total = struct.pack(family.size_format, chunks.size - 8)
    return Section(chunks.stream, [(0, family.total), total, (family.total + len(total), sound_size), *rest])


def _walk_to_sound(stream: RawIOBase, size: int, family: _Family) -> _Chunks:
    """Read the chunks up to the one with the sound."""
    position = family.first_chunk
    contents: dict[bytes, bytes] = {}
    for _ in range(_MAX_CHUNKS):
        head = _chunk_head(stream, position, family)
        if head is None:
            break
        name, claimed = head
        content = position + family.header_bytes
        if name.startswith(family.sound):
            ds64 = contents.get(b"ds64", b"")
            if claimed == 2**32 - 1 and len(ds64) >= _DS64_BYTES:
                claimed = struct.unpack_from("<Q", ds64, 8)[0]
            return _Chunks(stream, size, family, position, content + family.lead, claimed, contents)
        if content + claimed > size:
            break
        contents.setdefault(name[:4], read_at(stream, content, min(claimed, _CHUNK_BYTES_KEPT)))
        position = _next_chunk(stream, content + claimed, family)
    raise RefusalError("damaged", f"it has no chunk of sound ('{family.sound.decode()}')")


def _chunk_head(stream: RawIOBase, position: int, family: _Family) -> tuple[bytes, int] | None:
    """Return name and size, without header, of the chunk at a position, or None at the end or where there is none."""
    head = read_at(stream, position, family.header_bytes)
    if len(head) < family.header_bytes or not _is_name(head[:4]):
        return None
    name = head[: family.name_bytes]
    (claimed,) = struct.unpack_from(family.size_format, head, family.name_bytes)
    if claimed == 256 ** struct.calcsize(family.size_format) - 1:  # a placeholder counts nothing
        return name, claimed
    return name, max(0, claimed - family.counted)


def _is_name(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk: printable ASCII."""
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name)


def _next_chunk(stream: RawIOBase, end: int, family: _Family) -> int:
    """Return the position of the chunk after one that ends at `end`; some writers leave out the byte of padding."""
    aligned = math.ceil(end / family.alignment) * family.alignment
    if aligned != end and not _is_name(read_at(stream, aligned, 4)) and _is_name(read_at(stream, end, 4)):
        return end
    return aligned


def _find_end(chunks: _Chunks, block: int = 1) -> int:
    """Return the position behind the sound (bytes); `block` is the number of bytes of which it is a multiple.

    Raises:
        RefusalError: the file is cut, or holds more sound than its header says.
    """
    start = chunks.start
    size = chunks.size
    claimed = chunks.claimed - chunks.family.lead
    available = size - start
    if _is_placeholder(chunks, block) and claimed > available:
        return size
    is_whole = _claimed_total(chunks) == size - 8
    if is_whole and available < claimed <= available + start:
        return size  # a writer that counts the header as sound
    if claimed > available:
        raise RefusalError("truncated", f"{max(0, available):,} of {claimed:,} bytes of sound")
    end = start + max(0, claimed)
    fault = _find_leftover(chunks.stream, end, size, chunks.family)
    if claimed <= 0 and fault == _NO_CHUNK and available > 0:
        return size  # a writer that died before it wrote the size
    if fault:
        raise RefusalError(
            "damaged",
            f"its header claims {claimed:,} bytes of sound, and {size - end:,} more follow: {fault}",
            UNFINISHED_HINT,
        )
    return end


def _is_placeholder(chunks: _Chunks, block: int) -> bool:
    """Return whether a size is one that writers leave who cannot go back, by itself or with the size of the file."""
    claimed = chunks.claimed - chunks.family.lead
    sizes = {value - value % max(1, block) for value in PLACEHOLDERS} | set(PLACEHOLDERS)
    if chunks.claimed in sizes or claimed in sizes:
        return True
    total = _claimed_total(chunks)
    if b"ds64" in chunks.contents:
        return total in (0, 2**64 - 1)
    return claimed >= MANY_BYTES and total is not None and (total == 0 or total >= MANY_BYTES)


def _claimed_total(chunks: _Chunks) -> int | None:
    """Return the size of the whole file by its header (bytes), or None if there is no such field."""
    family = chunks.family
    if family.total is None:
        return None
    ds64 = chunks.contents.get(b"ds64", b"")
    if len(ds64) >= _DS64_BYTES:
        return struct.unpack_from("<Q", ds64)[0]
    size = read_at(chunks.stream, family.total, struct.calcsize(family.size_format))
    return struct.unpack(family.size_format, size)[0]


def _find_leftover(stream: RawIOBase, position: int, size: int, family: _Family) -> str:
    """Return what lies behind the sound besides other chunks, tags and padding; "" if nothing does."""
    for _ in range(_MAX_CHUNKS):
        if position >= size or is_padding(stream, position, size):
            return ""
        position = _next_chunk(stream, position, family)
        if is_padding(stream, position, size):
            return ""
        head = _chunk_head(stream, position, family)
        if head is None:
            return "" if size - position < family.header_bytes else _NO_CHUNK
        name, claimed = head
        if name.startswith(_FILE_STARTS):
            return "another recording"
        if name.startswith(family.sound):
            return "another chunk of sound"
        if position + family.header_bytes + claimed > size and name[:4] not in _SMALL_CHUNKS:
            return _NO_CHUNK
        position += family.header_bytes + claimed
    return ""


def _find_au_sound(stream: RawIOBase, size: int, byte_order: str) -> Sound | None:
    """Find the sound in an AU file."""
    start, claimed = struct.unpack(byte_order + "II", read_at(stream, 4, 8))
    if start < _AU_HEADER_BYTES:
        return None  # libsndfile decodes such a file differently each time
    available = size - start
    is_unknown = claimed in PLACEHOLDERS and claimed > available
    if is_unknown or claimed == 0 < available:
        honest = struct.pack(byte_order + "I", max(0, available))
        return Sound(stream=Section(stream, [(0, 8), honest, (12, size)]))
    if claimed > available:
        raise RefusalError("truncated", f"{max(0, available):,} of {claimed:,} bytes of sound")
    if not is_padding(stream, start + claimed, size):
        raise RefusalError(
            "damaged",
            f"its header claims {claimed:,} bytes of sound, and {available - claimed:,} more follow",
            UNFINISHED_HINT,
        )
    return Sound(stream=Section(stream, [(0, start + claimed)]))
