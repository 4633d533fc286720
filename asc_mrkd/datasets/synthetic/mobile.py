"""The built-in scenes as a mobile set: clips of one second, mono, from real and simulated recording devices."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile as sf
from scipy import fft

from asc_mrkd import audio
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.datasets.synthetic.signals import RATE, Signal
from asc_mrkd.files import atomic_writer

MOBILE_RATE = 44_100
"""Samples per second of a clip."""

SECONDS = 10
"""Clips that a recording of 10 s is cut into."""

CLIP_BYTES = 44 + MOBILE_RATE * 3
"""Size of a clip: the header of a WAV file, then a second of 24 bits."""

TRAINING_DEVICES = ("a", "b", "a", "c", "a", "s1", "a", "s2", "a", "s3")
"""Device of each second of a training recording: most are of device a, and three devices are missing, as in the set."""

TEST_DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6", "a")
"""Device of each second of a test recording."""

EVALUATION_DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s7", "s8", "s9", "s10")
"""Device of each second of an evaluation recording."""

KNOWN_DEVICES = frozenset(TRAINING_DEVICES)
"""Devices that the list of the evaluation set names; it calls the others unknown."""

RESPONSES = 12
"""Impulse responses of further devices that come with the set."""

TAPS = 1024
"""Samples of an impulse response."""


def device_gain(device: str, frequencies: Signal) -> Signal:
    """Return the gain of a device, a factor per frequency (Hz); device a changes nothing.

    The curve goes through random levels at seven frequencies, and falls below and above the range of the device.
    """
    if device == "a":
        return np.ones_like(frequencies)
    rng = np.random.default_rng(crc32(f"device {device}".encode()))
    knots = np.geomspace(60, 16_000, 7)
    levels = rng.normal(0, 6, len(knots))
    low = rng.uniform(40, 250)
    high = rng.uniform(7_000, 16_000)
    safe = np.maximum(frequencies, 1.0)
    gain = 10 ** (np.interp(np.log(safe), np.log(knots), levels) / 20)
    return gain / np.sqrt(1 + (low / safe) ** 4) / np.sqrt(1 + (safe / high) ** 4)


def through_device(sound: Signal, device: str) -> Signal:
    """Return a sound (n,) at MOBILE_RATE as a device records it; simulated devices, s1 and on, limit it softly too."""
    gain = device_gain(device, fft.rfftfreq(len(sound), 1 / MOBILE_RATE))
    filtered = fft.irfft(gain * fft.rfft(sound), len(sound))
    if device.startswith("s"):
        loud = 4 * np.sqrt(np.mean(filtered**2)) + 1e-9
        filtered = loud * np.tanh(filtered / loud)
    return np.clip(filtered, -1, 1)


def write_seconds(recording: Path, seed: int, pieces: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Write the clips of one recording.

    Args:
        recording: folder and name of the recording of 10 s, `<scene>-<city>-<location id>-<segment>-a.wav`.
        seed: seed of all clips.
        pieces: file name and device of each second, by the name of the recording.
    """
    stereo = render_clip(seed, recording.name)
    mono = audio.resample(stereo.mean(1, dtype=np.float32)[None], RATE, MOBILE_RATE)[0]
    for second, (name, device) in enumerate(pieces[recording.name]):
        clip = mono[second * MOBILE_RATE : (second + 1) * MOBILE_RATE]
        write_sound(recording.with_name(name), through_device(clip, device))


def are_seconds_whole(recording: Path, pieces: Mapping[str, Sequence[tuple[str, str]]]) -> bool:
    """Return whether all clips of a recording exist and are complete."""
    paths = [recording.with_name(name) for name, _ in pieces[recording.name]]
    return all(path.is_file() and path.stat().st_size == CLIP_BYTES for path in paths)


def write_responses(folder: Path) -> None:
    """Write the impulse responses of devices that recorded no clip of the set."""
    for number in range(1, RESPONSES + 1):
        gain = device_gain(f"further {number}", fft.rfftfreq(TAPS, 1 / MOBILE_RATE))
        response = np.roll(fft.irfft(gain, TAPS), TAPS // 2) * np.hanning(TAPS)
        write_sound(folder / f"device{number}.wav", response / np.abs(response).max() / 2)


def write_sound(path: Path, sound: Signal) -> None:
    """Write a mono sound (n,) at MOBILE_RATE in 24 bits, whole or not at all."""
    encoded = io.BytesIO()
    sf.write(encoded, sound, MOBILE_RATE, subtype="PCM_24", format="WAV")
    with atomic_writer(path) as stream:
        stream.write(encoded.getbuffer())
