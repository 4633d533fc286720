"""Reading of recordings: every clip is whole, finite and of known length, or refused with a reason code."""

import errno
import math
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from asc_mrkd.audio.containers import Contents, Source, conversion_hint, read_contents
from asc_mrkd.audio.pcm import read_pcm
from asc_mrkd.audio.reasons import REASONS, RefusalError
from asc_mrkd.audio.section import Section
from asc_mrkd.errors import AudioError, DataError

MAX_SAMPLES = 2**30
"""Most samples of all channels that are read in one piece: 4 GiB as float32, 3 hours of stereo at 48 kHz."""

MAX_SAMPLES_PER_BYTE = 8192
"""Most samples per byte; the densest codec packs less (FLAC: 65,535 equal samples per channel in 20 bytes)."""

SAMPLE_RATES = (1_000, 1_000_000)
"""Lowest and highest possible sample rate (Hz) of a recording."""

SECONDS_TOLERANCE = 1e-4
"""Largest difference (s) of equal lengths: a few samples of rounding."""

DIFFERENCE_ERROR = 1e-9
"""Error (s) of a difference of two lengths: 1.1 - 1 is a little more than 0.1."""

MAX_ARRAY_CHANNELS = 64
"""Most channels of an array of samples: more are samples in the place of channels."""

MAX_PEAK = 100.0
"""Largest possible sample; lossy codecs and float recorders exceed full scale, 1, a little, never by 40 dB."""

_UNKNOWN_FRAMES = 2**63 - 1  # number of frames that libsndfile gives to a FLAC stream of unknown length
_FORMAT_UNKNOWN = 1  # codes of libsndfile
_SYSTEM_FAILED = 2
_ENCODING_UNKNOWN = (4, 18)
_BUFFER_BYTES = 2**18  # libsndfile asks for 8 KiB at a time
_OPEN_ENDED_BLOCK = 2**16  # frames that are read at once from a stream of unknown length

_REASON_OF_ERROR = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP), "missing"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "no_permission"),
}
"""Reason for an error of the system; of all others the file is not the cause, and it may be read the next time."""


@dataclass(frozen=True)
class Audio:
    """One recording."""

    samples: np.ndarray
    """Samples (channel, sample), float32, full scale = 1."""
    sample_rate: int
    """Sample rate (Hz)."""


def read_audio(
    source: str | os.PathLike[str] | BinaryIO,
    expected_seconds: float | None = None,
    expected_rate: int | None = None,
    tolerance: float = SECONDS_TOLERANCE,
) -> Audio:
    """Read a whole recording: WAV, RF64, BW64, AIFF, AU, CAF, W64, FLAC, Ogg, MP3.

    Sizes are checked before memory is taken, so a wrong header, length or rate costs almost nothing.

    Args:
        source: path of a recording, or a file object that is read to its end.
        expected_seconds: only accepted length (s).
        expected_rate: only accepted sample rate (Hz).
        tolerance: largest accepted difference from `expected_seconds` (s).

    Raises:
        AudioError: the file cannot be used; its `reason` is a key of REASONS.
        DataError: `source` is of another type, or a file object that gives text.

    Example:
        ```python
        audio = read_audio("audio/park.wav")
        seconds = audio.samples.shape[1] / audio.sample_rate
        ```
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        opened = _opened(path)
    elif hasattr(source, "read"):
        path = name_of_stream(source)
        opened = _opened_stream(source)
    else:
        raise DataError(
            f"{type(source).__name__} is not a recording", "give a path, a file object, or samples as a numpy array"
        )
    with _refusals_explained(path), opened as (contents, size):
        audio = _decode(contents, _Expected(expected_seconds, expected_rate, tolerance), size)
        _require_sound(audio.samples)
    return audio


def name_of_stream(stream: BinaryIO) -> Path:
    """Return the name of a file object for messages."""
    return Path(str(getattr(stream, "name", "file object")))


def check_samples(samples: np.ndarray, sample_rate: int | None) -> Audio:
    """Return samples that were not read from a file as a recording.

    Args:
        samples: (channel, sample) or (sample,), of a floating-point type, full scale = 1.
        sample_rate: their rate (Hz).

    Raises:
        DataError: there is no rate, or the array does not hold samples.
        AudioError: the samples are silent, not finite or far beyond full scale.

    >>> check_samples(np.array([0.5, -0.5]), 8000).samples.shape
    (1, 2)
    """
    if sample_rate is None or not SAMPLE_RATES[0] <= sample_rate <= SAMPLE_RATES[1]:
        found = "no rate is given" if sample_rate is None else f"{sample_rate} Hz is not the rate of a recording"
        raise DataError(f"samples: {found}", "give the rate of the array (Hz), as in predict(samples, rate=48000)")
    if samples.dtype.kind != "f":
        raise DataError(f"samples are of type {samples.dtype}", "full scale is 1: divide 16-bit samples by 32768")
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise DataError(f"samples have the shape {samples.shape}", "give (channel, sample) or (sample,)")
    audio = Audio(np.atleast_2d(samples).astype(np.float32, copy=False), int(sample_rate))
    if len(audio.samples) > MAX_ARRAY_CHANNELS:
        raise DataError(f"samples have {len(audio.samples):,} channels", "give (channel, sample): transpose the array")
    with _refusals_explained(Path("samples")):
        _require_sound(audio.samples)
    return audio


@dataclass(frozen=True)
class Shape:
    """Rate, channels and length of a recording."""

    sample_rate: int
    """Sample rate (Hz)."""
    channels: int
    """Number of channels."""
    seconds: float
    """Length (s)."""


def read_shape(path: str | os.PathLike[str]) -> Shape:
    """Return rate, channels and length of a recording from its headers; only a length that they do not say is counted.

    Raises:
        AudioError: the headers show that the file cannot be used; damage behind them is found by `read_audio`.
    """
    path = Path(path)
    with _refusals_explained(path), _opened(path) as (contents, size):
        if contents.pcm is not None:
            pcm = contents.pcm
            _require_possible_header(pcm.sample_rate, pcm.channels, pcm.frames, size)
            return Shape(pcm.sample_rate, pcm.channels, pcm.frames / pcm.sample_rate)
        with _opened_parts(contents.sources) as parts:
            rate = parts[0].sound.samplerate
            channels = parts[0].sound.channels
            claims = [part.claimed for part in parts]
        if all(claims):
            _require_possible_header(rate, channels, sum(claims), size)
            return Shape(rate, channels, sum(claims) / rate)
    audio = read_audio(path)
    return Shape(audio.sample_rate, len(audio.samples), audio.samples.shape[1] / audio.sample_rate)


@contextmanager
def _refusals_explained(path: Path) -> Iterator[None]:
    """Turn everything that can go wrong with a file into an AudioError."""
    try:
        yield
    except RefusalError as refusal:
        raise audio_error(path, refusal) from None
    except OSError as error:
        reason = _REASON_OF_ERROR.get(error.errno or 0, "unreadable")
        raise audio_error(path, RefusalError(reason, error.strerror or "")) from None
    except MemoryError:
        raise audio_error(path, RefusalError("unreadable", "it does not fit into the free memory")) from None
    except soundfile.LibsndfileError as error:
        raise audio_error(path, RefusalError(_reason_of(error), error.error_string)) from None


def audio_error(path: str | os.PathLike[str], refusal: RefusalError) -> AudioError:
    """Return the error for a file that cannot be used."""
    hint = conversion_hint(path) if refusal.reason == "other_kind" else refusal.hint
    return AudioError(f"{path}: {REASONS[refusal.reason]} ({refusal.detail})", refusal.reason, hint)


def _reason_of(error: soundfile.LibsndfileError) -> str:
    return {_FORMAT_UNKNOWN: "not_audio", _SYSTEM_FAILED: "unreadable"}.get(error.code, "damaged")


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 `samples` (channel, sample) from one rate (Hz) to another, all channels at once.

    The filter is soxr's HQ. Values and length, ceil(sample * to_rate / from_rate), equal those of librosa.resample
    with res_type="soxr_hq".

    >>> resample(np.ones((2, 480), np.float32), 48_000, 22_050).shape
    (2, 221)
    """
    if from_rate == to_rate:
        return samples
    resampled = soxr.resample(samples.T, from_rate, to_rate, quality="HQ").T
    length = math.ceil(samples.shape[1] * to_rate / from_rate)
    missing = length - resampled.shape[1]  # soxr rounds where librosa rounds up
    return np.pad(resampled, ((0, 0), (0, missing))) if missing else resampled


def match_channels(samples: np.ndarray, channels: int, path: str | os.PathLike[str] = "recording") -> np.ndarray:
    """Give samples (channel, sample) the wanted number of channels.

    One channel is copied to all, several become mono as their mean, and of too many the first are kept (left and right
    come first in every usual order).

    Args:
        samples: (channel, sample).
        channels: wanted number of channels.
        path: file of the samples, for the error message.

    Raises:
        AudioError: more channels are wanted than a multi-channel recording has (reason `wrong_channels`).

    >>> match_channels(np.float32([[1, 2], [3, 4]]), 1).tolist()
    [[2.0, 3.0]]
    """
    if len(samples) == 1:
        return np.repeat(samples, channels, axis=0)
    if channels == 1:
        return samples.mean(axis=0, keepdims=True)
    if len(samples) < channels:
        raise audio_error(path, RefusalError("wrong_channels", f"{len(samples)} cannot give {channels}"))
    return samples[:channels]


@dataclass(frozen=True)
class _Expected:
    """Expected shape of a recording."""

    seconds: float | None
    sample_rate: int | None
    tolerance: float

    def require(self, rate: int, frames: int) -> None:
        """Refuse any other rate or length."""
        if self.sample_rate is not None and rate != self.sample_rate:
            raise RefusalError("wrong_rate", f"{rate:,} Hz instead of {self.sample_rate:,} Hz")
        if self.seconds is None:
            return
        difference = abs(frames / rate - self.seconds)
        if not is_within(difference, self.tolerance):
            least = math.ceil(1000 * (difference - DIFFERENCE_ERROR)) / 1000
            raise RefusalError(
                "wrong_length",
                f"{frames / rate:g} s instead of {self.seconds:g} s",
                f"`pad_or_trim: {least:g}` in the definition of the front end accepts it",
            )


def is_within(difference: float, tolerance: float) -> bool:
    """Return whether the difference of two lengths (s) is accepted, or due to rounding.

    >>> is_within(1.1 - 1, tolerance=0.1)
    True
    """
    return difference <= max(tolerance, SECONDS_TOLERANCE) + DIFFERENCE_ERROR


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Contents, int]]:
    """Open a file whose container and header have been checked; its size (bytes) comes with it."""
    try:
        status = path.stat()
    except ValueError:
        raise RefusalError("missing", "its name holds a character that no file name can have") from None
    if not stat.S_ISREG(status.st_mode):
        raise RefusalError("not_audio", "not a regular file")
    if status.st_size == 0:
        raise RefusalError("empty", "zero bytes")
    with open(path, "rb", buffering=0) as stream:
        yield read_contents(stream), status.st_size


@contextmanager
def _opened_stream(stream: BinaryIO) -> Iterator[tuple[Contents, int]]:
    """Read a file object to its end, and open what was in it."""
    content = stream.read()
    if not isinstance(content, bytes):
        raise DataError(f"{name_of_stream(stream)}: the file object does not give bytes", "open it with mode 'rb'")
    if not content:
        raise RefusalError("empty", "zero bytes")
    yield read_contents(Section(RawIOBase(), [content])), len(content)


def _decode(contents: Contents, expected: _Expected, size: int) -> Audio:
    """Read the samples of a file of `size` bytes."""
    if contents.pcm is None:
        return _decode_sources(contents, expected, size)
    pcm = contents.pcm
    _require_possible_header(pcm.sample_rate, pcm.channels, pcm.frames, size)
    expected.require(pcm.sample_rate, pcm.frames)
    samples = read_pcm(contents.stream, pcm)
    _require_frames(samples, pcm.frames, "truncated")
    return Audio(samples, pcm.sample_rate)


def _decode_sources(contents: Contents, expected: _Expected, size: int) -> Audio:
    """Decode streams that follow each other, by libsndfile."""
    with _opened_parts(contents.sources) as parts:
        rate = parts[0].sound.samplerate
        claims = [part.claimed for part in parts]
        if any(claims):
            _require_possible_header(rate, parts[0].sound.channels, sum(claims), size)
        if all(claims):
            expected.require(rate, sum(claims))
        pieces = [_read_part(part) for part in parts]
    samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    if len(samples) == 0:
        raise RefusalError("empty", "zero frames")
    expected.require(rate, len(samples))
    return Audio(samples.T, rate)


class _SequentialSound(soundfile.SoundFile):
    """A sound file that is read from start to end: soundfile seeks after each block, which fails at an unknown end."""

    def __init__(self, stream: RawIOBase) -> None:
        stream.seek(0)
        if isinstance(stream, FileIO):
            super().__init__(stream.fileno(), closefd=False)
        else:
            super().__init__(BufferedReader(stream, _BUFFER_BYTES))

    def seekable(self) -> bool:
        """Return False."""
        return False


class _Part(NamedTuple):
    """An open stream of a file."""

    source: Source
    sound: soundfile.SoundFile
    claimed: int
    """Number of frames that it claims, 0 if it is unknown."""


@contextmanager
def _opened_parts(sources: Sequence[Source]) -> Iterator[list[_Part]]:
    """Open streams that follow each other, which need the same rate and channels; libmpg123 is quiet in the block."""
    with _quiet(any(source.may_be_mpeg for source in sources)), ExitStack() as stack:
        sounds = [stack.enter_context(_open_source(source)) for source in sources]
        if len({(sound.samplerate, sound.channels) for sound in sounds}) > 1:
            raise RefusalError("damaged", "its parts have different rates or channels")
        pairs = zip(sources, sounds, strict=True)
        yield [_Part(source, sound, _claimed_frames(source, sound)) for source, sound in pairs]


def _open_source(source: Source) -> soundfile.SoundFile:
    try:
        return _SequentialSound(source.stream)
    except soundfile.LibsndfileError as error:
        if source.chunked is not None and error.code in _ENCODING_UNKNOWN:
            raise RefusalError("other_kind", "its encoding") from None
        raise


def _claimed_frames(source: Source, sound: soundfile.SoundFile) -> int:
    """Return the number of frames that a stream claims, 0 if it is unknown."""
    if source.claimed is not None:
        return source.claimed
    if source.mpeg is not None:
        if source.mpeg.interrupted:
            raise RefusalError("damaged", "other bytes lie between its frames")
        frames = source.mpeg.expected_samples(sound.frames)
        if frames is None:
            fault = f"the header claims {sound.frames:,} frames, there are more"
            raise RefusalError("damaged", fault, "ffmpeg -i IN OUT.wav reads all of them")
        return frames
    if source.chunked is not None:
        stated = source.chunked.frames
        if stated <= sound.frames <= stated + source.chunked.block_frames:
            return stated  # the last block of a compressed WAV file is filled up
    return sound.frames


def _read_part(part: _Part) -> np.ndarray:
    """Read all samples (sample, channel) of a stream."""
    if part.source.claimed is not None:
        return _read_open_ended(part)
    samples = part.sound.read(part.claimed, dtype="float32", always_2d=True)
    if len(samples) < part.claimed:
        _require_frames(samples.T, part.claimed, "damaged" if part.source.is_damaged else "truncated")
    return samples


def _read_open_ended(part: _Part) -> np.ndarray:
    """Read all samples (sample, channel) of a FLAC stream to its end, and compare their number with the header's."""
    claimed = part.claimed
    try:
        samples = _read_to_end(part.sound, claimed)
    except soundfile.LibsndfileError:
        if not claimed or part.source.plain is None:
            raise
        with _SequentialSound(part.source.plain) as plain:  # unknown bytes may follow the last frame
            samples = plain.read(claimed, dtype="float32", always_2d=True)
    if claimed and len(samples) != claimed:
        more = "more than " if len(samples) > claimed else ""
        raise RefusalError(
            "damaged", f"the header claims {claimed:,} frames, there are {more}{min(claimed, len(samples)):,}"
        )
    return samples


def _read_to_end(sound: soundfile.SoundFile, claimed: int) -> np.ndarray:
    """Read samples (sample, channel) to the end of a stream, or one more than it claims."""
    if claimed:
        return sound.read(claimed + 1, dtype="float32", always_2d=True)
    blocks = []
    count = 0
    while True:
        block = sound.read(_OPEN_ENDED_BLOCK, dtype="float32", always_2d=True)
        blocks.append(block)
        count += block.size
        if count > MAX_SAMPLES:
            raise RefusalError("too_long", f"more than {count:,} samples")
        if len(block) < _OPEN_ENDED_BLOCK:
            return np.concatenate(blocks)


def _require_frames(samples: np.ndarray, frames: int, reason: str) -> None:
    """Refuse samples (channel, sample) of a recording that should have more."""
    if samples.shape[1] != frames:
        raise RefusalError(reason, f"{samples.shape[1]:,} of {frames:,} frames")


def _require_possible_header(rate: int, channels: int, frames: int, size: int) -> None:
    """Refuse lengths and rates that no recording has."""
    if frames == 0:
        raise RefusalError("empty", "zero frames")
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise RefusalError("damaged", f"the header claims {rate:,} Hz")
    if frames * channels > size * MAX_SAMPLES_PER_BYTE:
        raise RefusalError("damaged", f"the header claims {frames:,} frames in {size:,} bytes")
    if frames * channels > MAX_SAMPLES:
        raise RefusalError("too_long", f"{frames / rate / 3600:.1f} hours")


def _require_sound(samples: np.ndarray) -> None:
    """Refuse silence, NaN, infinity and absurd levels; the extremes reveal all four without a temporary array."""
    peak = max(samples.max(), -samples.min())
    if not np.isfinite(peak):
        raise RefusalError("non_finite", f"{np.count_nonzero(~np.isfinite(samples)):,} samples")
    if peak == 0:
        raise RefusalError("silent", f"{samples.shape[1]:,} frames")
    if peak > MAX_PEAK:
        raise RefusalError("out_of_range", f"the largest is {peak:g}")


_quiet_lock = threading.Lock()


@contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """Keep what libmpg123 prints about damaged files off the terminal; it writes to the descriptor of stderr itself."""
    if not wanted:
        yield
        return
    with _quiet_lock, open(os.devnull, "wb") as nothing:
        try:
            terminal = os.dup(2)
        except OSError:  # stderr is closed
            yield
            return
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
