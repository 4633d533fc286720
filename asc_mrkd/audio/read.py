"""Reading of recordings: every clip is whole, finite and of known length, or refused with a reason code."""

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asc_mrkd.audio.containers import CONTAINERS, read_contents, read_pcm24
from asc_mrkd.errors import AudioError

REASONS: dict[str, str] = {
    "missing": "the file is missing",
    "no_permission": "the file may not be read",
    "empty": "the file holds no sound at all",
    "not_audio": "this is not a sound file",
    "damaged": "the file cannot be decoded",
    "truncated": "the file ends before its sound does",
    "too_long": "the recording is too long to be read in one piece",
    "wrong_length": "the recording does not have the expected length",
    "wrong_rate": "the recording does not have the expected sample rate",
    "wrong_channels": "the recording has too few channels",
    "silent": "every sample is zero",
    "non_finite": "some samples are NaN or infinite",
    "out_of_range": "samples lie far beyond full scale, as when integers were saved as floats",
    "crashed": "the process that read it died or took too long",
}
"""Meaning of each reason code of an AudioError."""

MAX_SAMPLES = 2**30
"""Most samples of all channels that are read in one piece: 4 GiB as float32, 3 hours of stereo at 48 kHz."""

MAX_SAMPLES_PER_BYTE = 8192
"""Most samples per byte; the densest codec packs less (FLAC: 65,535 equal samples per channel in 20 bytes)."""

SAMPLE_RATES = (1_000, 1_000_000)
"""Lowest and highest possible sample rate (Hz) of a recording."""

SECONDS_TOLERANCE = 1e-4
"""Largest difference (s) of equal lengths: a few samples of rounding."""

MAX_PEAK = 100.0
"""Largest possible sample; lossy codecs and float recorders exceed full scale, 1, a little, never by 40 dB."""

_UNKNOWN_FRAMES = 2**63 - 1  # number of frames that libsndfile gives to a FLAC stream of unknown length

_REASON_OF_ERROR = {
    FileNotFoundError: "missing",
    NotADirectoryError: "missing",
    PermissionError: "no_permission",
}


@dataclass(frozen=True)
class Audio:
    """One recording."""

    samples: np.ndarray
    """Samples (channel, sample), float32, full scale = 1."""
    sample_rate: int
    """Sample rate (Hz)."""


def read_audio(
    path: str | os.PathLike[str], expected_seconds: float | None = None, expected_rate: int | None = None
) -> Audio:
    """Read a whole recording: WAV, RF64, AIFF, AU, CAF, W64, FLAC, Ogg, MP3.

    Sizes are checked before memory is taken, so a wrong header, length or rate costs almost nothing.

    Args:
        path: recording.
        expected_seconds: only accepted length (s).
        expected_rate: only accepted sample rate (Hz).

    Raises:
        AudioError: the file cannot be used; its `reason` is a key of REASONS.

    Example:
        ```python
        audio = read_audio("audio/park.wav")
        seconds = audio.samples.shape[1] / audio.sample_rate
        ```
    """
    path = Path(path)
    try:
        audio = _decode(path, expected_seconds, expected_rate)
    except OSError as error:
        raise _refuse(path, _REASON_OF_ERROR.get(type(error), "damaged"), error.strerror or "") from None
    except MemoryError:
        raise _refuse(path, "too_long", "it does not fit into memory") from None
    except soundfile.LibsndfileError as error:
        format_unknown = error.code == 1
        raise _refuse(path, "not_audio" if format_unknown else "damaged", error.error_string) from None
    _require_sound(path, audio.samples)
    return audio


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
        raise _refuse(path, "wrong_channels", f"{len(samples)} cannot give {channels}")
    return samples[:channels]


def _refuse(path: str | os.PathLike[str], reason: str, detail: str) -> AudioError:
    """Return the error for a file that cannot be used."""
    return AudioError(
        f"{path}: {REASONS[reason]} ({detail})", reason, "asc-mrkd check-data lists all such clips of a data set"
    )


def _decode(path: Path, expected_seconds: float | None, expected_rate: int | None) -> Audio:
    """Read the samples after the container and the header have been checked."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _refuse(path, "not_audio", "not a regular file")
    if status.st_size == 0:
        raise _refuse(path, "empty", "zero bytes")
    with open(path, "rb", buffering=0) as stream:
        contents = read_contents(stream, status.st_size)
        if contents is None:
            raise _refuse(path, "not_audio", f"none of {CONTAINERS}")
        stream.seek(0)
        with soundfile.SoundFile(stream.fileno(), closefd=False) as sound:
            if contents.cut:
                raise _refuse(path, "truncated", f"{status.st_size:,} bytes")
            frames = contents.mpeg.expected_samples(sound.frames) if contents.mpeg else sound.frames
            if frames is None:
                raise _refuse(path, "damaged", f"the header claims {sound.frames:,} frames, there are more")
            _require_possible_header(path, sound, frames, status.st_size)
            _require_expected_shape(path, sound.samplerate, frames, expected_seconds, expected_rate)
            if sound.subtype == "PCM_24" and contents.start is not None:
                samples = read_pcm24(stream, contents.start, frames, sound.channels)
            else:
                samples = sound.read(frames, dtype="float32", always_2d=True).T
            if samples.shape[1] != frames:
                raise _refuse(path, "truncated", f"{samples.shape[1]:,} of {frames:,} frames")
            return Audio(samples, sound.samplerate)


def _require_possible_header(path: Path, sound: soundfile.SoundFile, frames: int, size: int) -> None:
    """Refuse lengths and rates that no recording has."""
    if frames == 0:
        raise _refuse(path, "empty", "zero frames")
    if frames == _UNKNOWN_FRAMES:
        raise _refuse(path, "damaged", "its header gives no length, so nothing shows whether it is whole")
    if not SAMPLE_RATES[0] <= sound.samplerate <= SAMPLE_RATES[1]:
        raise _refuse(path, "damaged", f"the header claims {sound.samplerate:,} Hz")
    if frames * sound.channels > size * MAX_SAMPLES_PER_BYTE:
        raise _refuse(path, "damaged", f"the header claims {frames:,} frames in {size:,} bytes")
    if frames * sound.channels > MAX_SAMPLES:
        raise _refuse(path, "too_long", f"{frames / sound.samplerate / 3600:.1f} hours")


def _require_expected_shape(
    path: Path, rate: int, frames: int, expected_seconds: float | None, expected_rate: int | None
) -> None:
    """Refuse any other rate or length than the expected one."""
    if expected_rate is not None and rate != expected_rate:
        raise _refuse(path, "wrong_rate", f"{rate:,} Hz instead of {expected_rate:,} Hz")
    if expected_seconds is not None and abs(frames / rate - expected_seconds) > SECONDS_TOLERANCE:
        raise _refuse(path, "wrong_length", f"{frames / rate:g} s instead of {expected_seconds:g} s")


def _require_sound(path: Path, samples: np.ndarray) -> None:
    """Refuse silence, NaN, infinity and absurd levels; the extremes reveal all four without a temporary array."""
    peak = max(samples.max(), -samples.min())
    if not np.isfinite(peak):
        raise _refuse(path, "non_finite", f"{np.count_nonzero(~np.isfinite(samples)):,} samples")
    if peak == 0:
        raise _refuse(path, "silent", f"{samples.shape[0]:,} frames")
    if peak > MAX_PEAK:
        raise _refuse(path, "out_of_range", f"the largest is {peak:g}")
