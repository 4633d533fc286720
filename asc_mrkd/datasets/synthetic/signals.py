"""Building blocks of the sources: noise, wandering values, tones, decaying grains, and grains scattered in time.

In every function `rng` is the only source of chance, `n` counts samples at RATE, and a signal is a mono array (n,).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft

RATE = 48_000
"""Samples per second."""

Signal = npt.NDArray[np.floating]

TABLE = 4096
"""Samples of the stored period of a tone; reading the nearest one leaves an error about 60 dB down."""


def noise(rng: np.random.Generator, n: int, low: float, high: float, slope: float = 0.0) -> Signal:
    """Gaussian noise between `low` and `high` Hz, with an RMS of 1; `slope` is in dB per octave."""
    frequency = np.maximum(fft.rfftfreq(n, 1 / RATE), 1.0).astype(np.float32)
    gain = frequency ** (slope / 6.02) / (1 + (low / frequency) ** 3) / (1 + (frequency / high) ** 3)
    shaped = fft.irfft(gain * white_spectrum(rng, len(gain)), n)
    return shaped / np.sqrt(np.mean(shaped**2))


def white_spectrum(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.complex64]:
    """The spectrum of white Gaussian noise; drawing it saves the transform of drawn samples."""
    return rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]


def wander(rng: np.random.Generator, n: int, low: float, high: float, per_second: float) -> Signal:
    """A value that drifts between `low` and `high`, taking a new direction `per_second` times a second."""
    knots = max(3, round(n / RATE * per_second) + 2)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.uniform(low, high, knots))


def path(n: int, times: Sequence[float] | Signal, values: Sequence[float] | Signal) -> Signal:
    """Straight lines through (time in s, value); the ends are held."""
    return np.interp(np.arange(n) / RATE, times, values)


def tone(rng: np.random.Generator, frequency: Signal, amplitudes: npt.ArrayLike) -> Signal:
    """A tone that follows `frequency` (n,) in Hz; harmonic k has `amplitudes[k - 1]` and a random phase."""
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    partials = np.asarray(amplitudes, float)
    spectrum[1 : len(partials) + 1] = partials * np.exp(2j * np.pi * rng.random(len(partials)))
    period = fft.irfft(spectrum, norm="forward")
    phase = np.cumsum(frequency) * (TABLE / RATE)
    return period[phase.astype(np.int64) % TABLE]


def burst(rng: np.random.Generator, decay: float, low: float, high: float) -> Signal:
    """A knock: noise in a band that falls by 60 dB within `decay` seconds."""
    n = round(decay * RATE)
    return noise(rng, n, low, high) * np.exp(np.linspace(0, -6.9, n))


def strike(frequencies: npt.ArrayLike, decays: npt.ArrayLike) -> Signal:
    """A struck bell: partials (Hz) of equal strength, each falling by 60 dB within its decay (s)."""
    partials = np.atleast_1d(frequencies)
    falls = np.atleast_1d(decays)
    t = np.arange(round(float(falls.max()) * RATE)) / RATE
    return sum(np.exp(-6.9 * t / fall) * np.sin(2 * np.pi * f * t) for f, fall in zip(partials, falls, strict=True))


def scatter(n: int, events: Iterable[tuple[float, Signal]]) -> Signal:
    """Add up grains that begin at the given times (s); parts outside the clip are cut off.

    >>> scatter(4, [(0.0, np.ones(2)), (2 / RATE, np.ones(9))])
    array([1., 1., 1., 1.])
    """
    out = np.zeros(n)
    for time, grain in events:
        start = round(time * RATE)
        head = max(0, -start)
        tail = min(len(grain), n - start)
        if head < tail:
            out[start + head : start + tail] += grain[head:tail]
    return out


def beats(rng: np.random.Generator, n: int, interval: float, jitter: float) -> Signal:
    """Times (s) about `interval` apart, from before the clip to its end; `jitter` is relative to the interval."""
    steps = interval * (1 + jitter * rng.uniform(-1, 1, round(n / RATE / interval / (1 - jitter)) + 2))
    return np.cumsum(steps) - rng.uniform(1, 2) * interval


def moments(rng: np.random.Generator, n: int, per_second: float) -> Signal:
    """Unrelated times (s), `per_second` of them on average, at least one, none in the last half second."""
    return rng.uniform(0, n / RATE - 0.5, max(1, rng.poisson(n / RATE * per_second)))
