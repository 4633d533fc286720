"""The length of an MP3 file, from its frames.

An MP3 is a row of frames without a header of the whole. Encoders may put the length into an extra first frame; without
it, libsndfile takes size / bit rate of the first frame for the length: it leaves out half of a file whose bit rate
varies, and calls one of constant bit rate too short by a fraction of a frame. Counting frames needs no decoder.
"""

from dataclasses import dataclass
from typing import BinaryIO

_BIT_RATES = {  # kbit/s of layer III; ISO/IEC 11172-3 and 13818-3
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")
_TAG_BYTES = 44  # header, side information and the name of a length tag
_TAIL_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")

_MAX_TRIMMED = 2 * 4095
"""Samples that an encoder added, as its length tag says (12 bits each for start and end); they are not decoded."""

_MAX_ROUNDING = 16
"""Samples by which size / bit rate misses the length of a file of constant bit rate: less than a padding byte each."""


@dataclass(frozen=True)
class MpegLength:
    """The length of an MP3 file.

    Args:
        samples: of each channel in all frames.
        tagged: the file also tells its length, the encoder's own delay taken off.
        whole: after the last frame comes the end of the file or a tag, not something unknown.
        cut: the file ends within a frame.
    """

    samples: int
    tagged: bool
    whole: bool
    cut: bool

    def decoded(self, claimed: int) -> int | None:
        """Return the samples that the decoder, which claims so many, must give; None if it would leave out sound."""
        if claimed < self.samples - (_MAX_TRIMMED if self.tagged else _MAX_ROUNDING):
            return None
        return claimed if self.tagged or not self.whole else min(claimed, self.samples)


def measure_mpeg(stream: BinaryIO, size: int) -> MpegLength | None:
    """Count the frames of a file of `size` bytes; None if it does not begin with one of layer III."""
    position = _end_of_id3(stream)
    first = _read(stream, position, _TAG_BYTES)
    frame = _parse_frame(first)
    if frame is None:
        return None
    tagged = any(tag in first for tag in _LENGTH_TAGS)
    samples = -frame[1] if tagged else 0
    while frame is not None:
        position += frame[0]
        samples += frame[1]
        frame = _parse_frame(_read(stream, position, 4))
    tail = _read(stream, position, 16)
    return MpegLength(samples, tagged, not tail or tail.startswith(_TAIL_TAGS), position > size)


def _end_of_id3(stream: BinaryIO) -> int:
    """Return where the sound starts: after the ID3v2 tag, whose size is stored in 4 x 7 bits."""
    head = _read(stream, 0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    has_footer = head[5] & 0x10
    return 10 + size + (10 if has_footer else 0)


def _parse_frame(head: bytes) -> tuple[int, int] | None:
    """Return the bytes and the samples per channel of the layer III frame that starts with `head`."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bit_rate, sample_rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or sample_rate == 3:
        return None
    samples = 1152 if version == 3 else 576
    rate = _BIT_RATES[1 if version == 3 else 2][bit_rate - 1] * 1000
    return samples // 8 * rate // _SAMPLE_RATES[version][sample_rate] + (head[2] >> 1 & 1), samples


def _read(stream: BinaryIO, position: int, size: int) -> bytes:
    stream.seek(position)
    return stream.read(size)
