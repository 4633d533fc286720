"""Places: their reverberation, their colour and the distant city, which every clip recorded in them shares."""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from asc_mrkd.datasets.synthetic.signals import RATE, Signal, white_spectrum

KNOTS = 31.25 * 2 ** np.arange(10)
"""Frequencies in Hz, an octave apart, at which a colour is drawn."""


@dataclass(frozen=True)
class Space:
    """Reverberation of a kind of space."""

    decay: tuple[float, float]
    """Range of the reverberation time in s, to -60 dB."""
    wetness: tuple[float, float]
    """Range of the amplitude of the reverberation against the direct sound."""


HALL = Space(decay=(0.9, 2.0), wetness=(0.5, 1.2))
OPEN = Space(decay=(0.3, 1.0), wetness=(0.1, 0.5))
CABIN = Space(decay=(0.1, 0.3), wetness=(0.3, 0.9))


@dataclass(frozen=True)
class Place:
    """Acoustics of one location, the same in every clip recorded there."""

    level: float
    """RMS in dBFS."""
    colour: Signal
    """Gain in dB at KNOTS on every sound: the frequency response of room and recorder."""
    bed: Signal
    """Spectrum of the distant city in dB at KNOTS."""
    reverberation: Signal
    """Impulse responses (2, samples) of the left and the right ear."""


def draw_place(rng: np.random.Generator, space: Space) -> Place:
    """Draw a location in a space of this kind."""
    n = round(rng.uniform(*space.decay) * RATE)
    tail = rng.standard_normal((2, n), np.float32) * np.exp(np.linspace(0, -6.9, n, dtype=np.float32))
    tail *= rng.uniform(*space.wetness) / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    tail[:, 0] += 1.0
    tilt = rng.uniform(-0.5, 0.5) * np.arange(-4.5, 5)
    return Place(
        level=rng.uniform(-49, -41),
        colour=tilt + rng.normal(0, 1.5, len(KNOTS)),
        bed=-4.5 * np.arange(len(KNOTS)) + rng.normal(0, 2, len(KNOTS)),
        reverberation=tail,
    )


def bed_noise(rng: np.random.Generator, place: Place, n: int) -> Signal:
    """Return stereo noise (2, n) with the spectrum of the place and an RMS of 1: the city far away."""
    bed = fft.irfft(white_spectrum(rng, 2, n // 2 + 1) * _gain(place.bed, n), n)
    return bed / np.sqrt(np.mean(bed**2))


def record(rng: np.random.Generator, place: Place, sound: Signal) -> Signal:
    """Return `sound` (2, n) as heard in the place; level and colour vary a little from clip to clip.

    The convolution is circular: the clip opens in the reverberation of its own end, as if the scene had gone on before.
    """
    n = sound.shape[1]
    colour = place.colour + rng.normal(0, 1, len(KNOTS))
    response = fft.rfft(place.reverberation, n) * _gain(colour, n)
    heard = fft.irfft(fft.rfft(sound) * response, n)
    level = place.level + rng.uniform(-2, 2)
    return heard * (10 ** (level / 20) / np.sqrt(np.mean(heard**2)))


def _gain(colour: Signal, n: int) -> Signal:
    """Return the gain of each bin of an n-point spectrum: straight lines in dB over log frequency, 0 below 20 Hz."""
    frequency = fft.rfftfreq(n, 1 / RATE)
    octave = np.log2(np.maximum(frequency, 1.0) / KNOTS[0])
    gain = 10 ** (np.interp(octave, np.arange(len(KNOTS)), colour) / 20)
    return (gain * (frequency >= 20)).astype(np.float32)
