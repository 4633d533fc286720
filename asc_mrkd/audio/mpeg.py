"""The length of an MP3 file, counted from its frames.

An MP3 is a row of frames without a header of the whole. Encoders may write the length into an extra first frame.
Without it, libsndfile takes size / bit rate of the first frame for the length: it drops half of a file whose bit rate
varies, and makes a file of constant bit rate too short by a fraction of a frame. Counting frames needs no decoder.
"""

from dataclasses import dataclass
from io import RawIOBase

from asc_mrkd.audio.tags import is_padding, read_at, skip_id3

_BIT_RATES = {  # kbit/s of layer III; ISO/IEC 11172-3 and 13818-3
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")
_SEARCHED_BYTES = 2**20
_TAG_BYTES = 44  # header, side information and the name of a length tag

_MAX_TRIMMED = 2 * 4095
"""Most samples that an encoder adds, 12 bits each for start and end in its length tag; decoders drop them."""

_MAX_ROUNDING = 16
"""Most samples by which size / bit rate misses the length of a file of constant bit rate: less than one padding byte
per frame."""


@dataclass(frozen=True)
class MpegLength:
    """The length of an MP3 file."""

    samples: int
    """Number of samples per channel in all frames."""
    tagged: bool
    """The file also states its length, without the delay of the encoder."""
    end: int
    """Position behind the last frame (bytes)."""
    whole: bool
    """After the last frame comes the end of the file, a tag or zeros, not unknown data."""
    is_padded: bool
    """After the last frame come zeros, which libsndfile would take for more sound."""
    cut: bool
    """The file ends within a frame."""
    interrupted: bool
    """Further frames follow behind the unknown data."""

    def expected_samples(self, claimed: int) -> int | None:
        """Return how many samples per channel decoding must yield, or None if the decoder would drop sound.

        Args:
            claimed: number of samples that the decoder claims.
        """
        tolerance = _MAX_TRIMMED if self.tagged else _MAX_ROUNDING
        if claimed < self.samples - tolerance:
            return None
        if self.tagged or not self.whole:
            return claimed
        return min(claimed, self.samples)


@dataclass(frozen=True)
class _Frame:
    """One frame of layer III."""

    size: int
    """Length in bytes."""
    samples: int
    """Number of samples per channel."""


def measure_mpeg(stream: RawIOBase, size: int) -> MpegLength | None:
    """Count the frames of a file of `size` bytes; None if the file does not begin with a frame of layer III."""
    position = 0
    start = read_at(stream, 0, _TAG_BYTES)
    frame = _parse_frame(start)
    if frame is None:
        return None
    tagged = any(tag in start for tag in _LENGTH_TAGS)
    samples = -frame.samples if tagged else 0  # the frame of a length tag holds no sound
    while frame is not None:
        samples += frame.samples
        position, frame = _find_frame(stream, position + frame.size, size)
    whole = is_padding(stream, position, size)
    return MpegLength(
        samples=samples,
        tagged=tagged,
        end=position,
        whole=whole,
        is_padded=whole and read_at(stream, position, 1) == b"\0",
        cut=position > size,
        interrupted=find_frames(read_at(stream, position, _SEARCHED_BYTES)) >= 0,
    )


def find_frames(data: bytes) -> int:
    """Return the position of the first three frames that follow each other in some bytes; -1 if there are none."""
    position = data.find(b"\xff")
    while position >= 0:
        place = position
        for _ in range(3):
            frame = _parse_frame(data[place : place + 4])
            if frame is None:
                break
            place += frame.size
        else:
            return position
        position = data.find(b"\xff", position + 1)
    return position


def _find_frame(stream: RawIOBase, position: int, size: int) -> tuple[int, _Frame | None]:
    """Return the frame at a position and its place; a tag lies between where a second file was appended."""
    frame = _parse_frame(read_at(stream, position, 4))
    behind = position if frame else skip_id3(stream, position)
    if position < behind < size:
        return behind, _parse_frame(read_at(stream, behind, 4))
    return position, frame


def _parse_frame(head: bytes) -> _Frame | None:
    """Return the frame of layer III that starts with `head`, or None."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version = head[1] >> 3 & 3
    bit_rate = head[2] >> 4
    sample_rate = head[2] >> 2 & 3
    padding = head[2] >> 1 & 1
    if version == 1 or bit_rate in (0, 15) or sample_rate == 3:
        return None
    is_mpeg_1 = version == 3
    samples = 1152 if is_mpeg_1 else 576
    bits_per_second = _BIT_RATES[1 if is_mpeg_1 else 2][bit_rate - 1] * 1000
    return _Frame(samples // 8 * bits_per_second // _SAMPLE_RATES[version][sample_rate] + padding, samples)
