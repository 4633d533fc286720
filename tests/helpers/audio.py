"""Sound files for the tests: noise and tones written in any format, and bytes written as they are."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 48_000
"""Sample rate (Hz) of the files."""


def make_noise(channels: int = 2, frames: int = RATE // 4) -> np.ndarray:
    """Return noise (channel, sample), float32, at half of full scale."""
    return np.random.default_rng(channels).uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = RATE, **options: object) -> Path:
    """Write samples (channel, sample) with the options of soundfile; the suffix gives the format."""
    with soundfile.SoundFile(path, "w", rate, len(samples), **options) as sound:
        sound.write(samples.T)
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes and return the path."""
    path.write_bytes(content)
    return path


def encode_sound(path: Path, samples: np.ndarray, rate: int = RATE, **options: object) -> bytes:
    """Return samples (channel, sample) as the bytes of a sound file, written to `path`."""
    return write_sound(path, samples, rate, **options).read_bytes()


def mp3_without_length(data: bytes) -> bytes:
    """Leave out the first frame, which states the length; older encoders and recorders write none."""
    return data[data.index(data[:2], 4) :]
