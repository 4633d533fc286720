"""Reading recordings: every clip is whole, finite and of known length, or refused with a reason code."""

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from asc_mrkd.errors import AudioError, DataError

REASONS: dict[str, str] = {
    "missing": "the file is missing",
    "no_permission": "the file may not be read",
    "empty": "the file holds no sound at all",
    "not_audio": "this is not a sound file",
    "damaged": "the file cannot be decoded",
    "truncated": "the file ends before its sound does",
    "too_long": "the recording is too long to be read in one piece",
    "wrong_length": "the recording does not have the expected length",
    "silent": "every sample is zero",
    "non_finite": "some samples are NaN or infinite",
    "out_of_range": "samples lie far beyond full scale, as when integers were saved as floats",
}
"""Reason codes of an AudioError and what each means."""

MAX_SAMPLES = 2**30
"""Samples of all channels that are read in one piece: 4 GiB as float32, 3 hours of stereo at 48 kHz."""

MAX_SAMPLES_PER_BYTE = 128
"""What the densest codec packs (Opus, stereo at 6 kbit/s); a header that claims more is wrong."""

SAMPLE_RATES = (1_000, 1_000_000)
"""Lowest and highest sample rate (Hz) of a recording of sound; a header that claims another is wrong."""

SECONDS_TOLERANCE = 1e-4
"""Lengths (s) that differ by less are equal: a few samples of rounding."""

MAX_PEAK = 100.0
"""Full scale is 1; lossy codecs and float recorders overshoot it a little, never by 40 dB."""

_CHUNK_SIZE = {b"RIFF": "<I", b"RIFX": ">I", b"RF64": "<I", b"FORM": ">I"}
_UNKNOWN_SIZE = 0xFFFFFFFF  # a stream whose writer could not go back; RF64 keeps the true size in its ds64 chunk
_MAX_CHUNKS = 1000
_OGG_PAGE_BYTES = 65_307
_OGG_END_OF_STREAM = 4


@dataclass(frozen=True)
class Audio:
    """One recording: float32 samples (channel, sample), full scale = 1, and their rate in Hz."""

    samples: np.ndarray
    sample_rate: int


def read_audio(path: str | os.PathLike[str], expected_seconds: float | None = None) -> Audio:
    """Read a whole recording in any format of libsndfile (WAV, FLAC, Ogg, MP3, ...).

    Sizes are checked before memory is taken: neither a wrong header nor a wrong length costs more than a look.

    Args:
        path: the file.
        expected_seconds: refuse every other length (s).

    Raises:
        AudioError: the file cannot be used; its `reason` is a key of REASONS.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "not_audio", "not a regular file")
        if status.st_size == 0:
            raise _refusal(path, "empty", "zero bytes")
        with open(path, "rb", buffering=0) as stream:
            cut = _is_cut(stream, status.st_size)
            stream.seek(0)
            with soundfile.SoundFile(stream.fileno(), closefd=False) as sound:
                if cut:
                    raise _refusal(path, "truncated", f"{status.st_size:,} bytes")
                _check_header(path, sound, status.st_size, expected_seconds)
                frames, sample_rate = sound.frames, sound.samplerate
                samples = sound.read(dtype="float32", always_2d=True)
    except OSError as error:
        reasons = {FileNotFoundError: "missing", NotADirectoryError: "missing", PermissionError: "no_permission"}
        raise _refusal(path, reasons.get(type(error), "damaged"), error.strerror or "") from None
    except soundfile.LibsndfileError as error:
        format_unknown = error.code == 1
        raise _refusal(path, "not_audio" if format_unknown else "damaged", error.error_string) from None
    if len(samples) != frames:
        raise _refusal(path, "truncated", f"{len(samples):,} of {frames:,} frames")
    _check_samples(path, samples)
    return Audio(samples.T, sample_rate)


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample float32 `samples` (channel, sample) from one rate (Hz) to another, all channels at once.

    The filter is soxr's HQ. Values and length, ceil(sample * to_rate / from_rate), are those of librosa.resample with
    res_type="soxr_hq".

    >>> resample(np.ones((2, 480), np.float32), 48_000, 22_050).shape
    (2, 221)
    """
    if from_rate == to_rate:
        return samples
    resampled = soxr.resample(samples.T, from_rate, to_rate, quality="HQ").T
    length = -(-samples.shape[-1] * to_rate // from_rate)
    missing = length - resampled.shape[-1]  # soxr rounds where librosa rounds up
    return np.pad(resampled, ((0, 0), (0, missing)))


def match_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """Give `samples` (channel, sample) the wanted number of channels.

    One channel is copied to all, any number becomes mono by their mean, and of too many the first are kept (left and
    right come first in every usual order).

    Raises:
        DataError: more channels are wanted than a multi-channel recording has.

    >>> match_channels(np.float32([[1, 2], [3, 4]]), 1).tolist()
    [[2.0, 3.0]]
    """
    if len(samples) == 1:
        return np.repeat(samples, channels, axis=0)
    if channels == 1:
        return samples.mean(axis=0, keepdims=True)
    if len(samples) < channels:
        raise DataError(f"a recording of {len(samples)} channels cannot give {channels}")
    return samples[:channels]


def _refusal(path: Path, reason: str, detail: str) -> AudioError:
    return AudioError(
        f"{path}: {REASONS[reason]} ({detail})", reason, "asc-mrkd check-data lists all such clips of a data set"
    )


def _check_header(path: Path, sound: soundfile.SoundFile, size: int, expected_seconds: float | None) -> None:
    """Refuse lengths and rates that no recording has, or not the one that is expected."""
    frames, rate = sound.frames, sound.samplerate
    if frames == 0:
        raise _refusal(path, "empty", "zero frames")
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise _refusal(path, "damaged", f"the header claims {rate:,} Hz")
    if frames * sound.channels > size * MAX_SAMPLES_PER_BYTE:
        raise _refusal(path, "damaged", f"the header claims {frames:,} frames in {size:,} bytes")
    if frames * sound.channels > MAX_SAMPLES:
        raise _refusal(path, "too_long", f"{frames / rate / 3600:.1f} hours")
    if expected_seconds is not None and abs(frames / rate - expected_seconds) > SECONDS_TOLERANCE:
        raise _refusal(path, "wrong_length", f"{frames / rate:g} s instead of {expected_seconds:g} s")


def _check_samples(path: Path, samples: np.ndarray) -> None:
    """Refuse silence, NaN, infinity and absurd levels; the extremes tell all four without a temporary array."""
    peak = max(samples.max(), -samples.min())
    if not np.isfinite(peak):
        raise _refusal(path, "non_finite", f"{np.count_nonzero(~np.isfinite(samples)):,} samples")
    if peak == 0:
        raise _refusal(path, "silent", f"{samples.shape[0]:,} frames")
    if peak > MAX_PEAK:
        raise _refusal(path, "out_of_range", f"the largest is {peak:g}")


def _is_cut(stream: BinaryIO, size: int) -> bool:
    """Whether the container promises more than the file of `size` bytes holds; libsndfile reads such files silently."""
    magic = stream.read(12)[:4]
    if magic in _CHUNK_SIZE:
        return _sound_chunk_is_cut(stream, size, _CHUNK_SIZE[magic])
    return magic == b"OggS" and _last_ogg_page_is_cut(stream, size)


def _sound_chunk_is_cut(stream: BinaryIO, size: int, size_format: str) -> bool:
    """Walk the chunks of a WAV (RIFF, RF64) or AIFF (FORM) file to its sound and compare the promised size."""
    position, large_size = 12, _UNKNOWN_SIZE
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        head = stream.read(24)
        if len(head) < 8:
            return True
        chunk_size = struct.unpack_from(size_format, head, 4)[0]
        if head[:4] == b"ds64" and len(head) == 24:
            large_size = struct.unpack_from("<Q", head, 16)[0]
        if head[:4] in (b"data", b"SSND"):
            promised = large_size if chunk_size == _UNKNOWN_SIZE else chunk_size
            return promised != _UNKNOWN_SIZE and position + 8 + promised > size
        position += 8 + chunk_size + chunk_size % 2
    return False


def _last_ogg_page_is_cut(stream: BinaryIO, size: int) -> bool:
    """Whether the last Ogg page (RFC 3533) is not whole or does not end the stream."""
    stream.seek(max(0, size - _OGG_PAGE_BYTES))
    _, found, page = stream.read().rpartition(b"OggS")
    if not found or len(page) < 23:
        return True
    flags, segments = page[1], page[22]
    payload = sum(page[23 : 23 + segments])
    return not flags & _OGG_END_OF_STREAM or len(page) < 23 + segments + payload
