"""Samples in a row, integers or floats: their layout by the `fmt ` chunk of a WAV file, and fast decoding."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import RawIOBase

import numpy as np

from asc_mrkd.audio.reasons import RefusalError

BLOCK_SAMPLES = 2**17
"""Samples of all channels that are decoded at once, in the cache."""

MAX_CHANNELS = 1024
"""Most channels of a recording, as in libsndfile."""

INTEGERS = 1
"""Number of the encoding of integers."""

PROBED_BYTES = 3 * 2**15
"""Bytes of sound that show how the samples are laid out, where the header contradicts itself; whole cells of 2 to 4."""

FLOATS = 3
"""Number of the encoding of floats."""

FLOAT_WIDTHS = (4, 8)
"""Numbers of bytes of a float."""

READ_TAGS = (INTEGERS, 2, FLOATS, 6, 7, 0x11, 0x31, 0x38, 0x40, 0x55, 0xFFFE)
"""Numbers of the encodings of a WAV file that are read: PCM, ADPCM, A-law, mu-law, GSM, MP3, special layouts."""

_EXTENSIBLE = 0xFFFE
_GUID_END = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True)
class WaveFormat:
    """Content of a `fmt ` chunk."""

    tag: int
    """Number of the encoding: 1 for integers, 3 for floats."""
    channels: int
    sample_rate: int
    """Sample rate (Hz)."""
    bytes_per_second: int
    block_bytes: int
    """Number of bytes of a frame, or of a block of a compressed encoding."""
    bits: int
    """Number of bits of a sample."""

    @property
    def is_linear(self) -> bool:
        """Whether every sample has a separate cell: integers and floats."""
        return self.tag in (INTEGERS, FLOATS)


@dataclass(frozen=True)
class PcmLayout:
    """Place of samples in a file."""

    start: int
    """Position of the first sample (bytes)."""
    frames: int
    """Number of samples per channel."""
    channels: int
    sample_rate: int
    """Sample rate (Hz)."""
    width: int
    """Number of bytes of a sample, 1 to 4; integers of one byte are unsigned."""
    is_float: bool = False
    """The samples are floats of 4 bytes, not integers."""


def parse_format(chunk: bytes, byte_order: str) -> WaveFormat:
    """Read a `fmt ` chunk.

    Raises:
        RefusalError: the chunk is too short.
    """
    if len(chunk) < 16:
        raise RefusalError("damaged", f"its fmt chunk has {len(chunk)} bytes instead of 16 or more")
    tag, *numbers = struct.unpack_from(byte_order + "HHIIHH", chunk)
    if tag == _EXTENSIBLE and chunk[26:40] == _GUID_END:
        tag = struct.unpack_from(byte_order + "H", chunk, 24)[0]
    return WaveFormat(tag, *numbers)


def find_width(wave: WaveFormat, read_probe: Callable[[], bytes]) -> int:
    """Return the number of bytes of an integer or float sample, where the fields of the header may contradict.

    The bits of a sample and the bytes of a frame must agree. Where the cells are wider than the samples, as for 24 bits
    in 4 bytes, the lower bytes of all cells must be zero. Otherwise bytes per second decide, or 16 bits in a row.

    Args:
        wave: content of the header.
        read_probe: function that reads some PROBED_BYTES of the sound that are not all zero, from the start of a cell;
            nothing if the cells are not little-endian.

    Raises:
        RefusalError: nothing shows how the samples are laid out.
    """
    width = (wave.bits + 7) // 8
    cell, rest = divmod(wave.block_bytes, max(1, wave.channels))
    is_possible = width > 0 if wave.tag == INTEGERS else width in FLOAT_WIDTHS
    if 0 < wave.channels <= MAX_CHANNELS and is_possible:
        if (cell == width and not rest) or wave.block_bytes == 0:
            return width
        if wave.tag == INTEGERS and width < cell <= 4 and not rest:
            probe = read_probe()
            if _has_empty_low_bytes(probe, cell, width):
                return cell
            if wave.bits == 16 and cell == 4 and _is_16_bit_sound(probe):
                return width
        if wave.bytes_per_second == wave.sample_rate * wave.channels * width:
            return width
    raise RefusalError(
        "damaged",
        f"its header contradicts itself: {wave.channels} channels of {wave.bits} bits in {wave.block_bytes} bytes",
        "write it again with the program that made it, or ffmpeg -i IN OUT.wav",
    )


def _has_empty_low_bytes(data: bytes, cell: int, width: int) -> bool:
    """Return whether the bytes of each little-endian cell below its `width` upper ones are zero, and not all others."""
    cells = np.frombuffer(data[: len(data) // cell * cell], np.uint8).reshape(-1, cell)
    return bool(cells.any()) and not cells[:, : cell - width].any()


def _is_16_bit_sound(data: bytes) -> bool:
    """Return whether 16-bit samples are as loud at even as at odd places, unlike the halves of longer integers."""
    words = np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2).astype(float)
    if len(words) == 0:
        return False
    even, odd = words.std(axis=0) + 1e-9
    return bool(0.5 < even / odd < 2)


def read_pcm(stream: RawIOBase, layout: PcmLayout) -> np.ndarray:
    """Read little-endian samples as float32 (channel, sample), full scale = 1; fewer if the file ends early."""
    width = layout.width
    channels = layout.channels
    samples = np.empty((channels, layout.frames), np.float32)
    step = max(1, BLOCK_SAMPLES // channels)
    lead = 1 if width == 3 else 0  # 24 bits are the upper three bytes of an integer that begins one byte earlier
    data = bytearray(lead + width * channels * step)
    cell_type = "<f4" if layout.is_float else {1: "u1", 2: "<i2", 3: "<i4", 4: "<i4"}[width]
    full_scale = np.float32(1 if layout.is_float else 2.0 ** (1 - 8 * width))
    stream.seek(layout.start)
    for first in range(0, layout.frames, step):
        block = samples[:, first : first + step]
        block_bytes = width * block.size
        if (stream.readinto(memoryview(data)[lead : lead + block_bytes]) or 0) < block_bytes:
            return samples[:, :first]
        words = np.ndarray(block.shape, cell_type, data, strides=(width, width * channels))
        block[...] = np.right_shift(words, 8, order="C") if width == 3 else words
        if width == 1:
            block -= np.float32(128)
        if full_scale != 1:
            block *= full_scale
    return samples
