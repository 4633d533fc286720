"""Sources of the place itself: air, water, birds, bells and machines that stand still."""

import numpy as np

from asc_mrkd.data.synthetic.signals import (
    RATE,
    Signal,
    beats,
    burst,
    moments,
    noise,
    scatter,
    strike,
    tone,
    wander,
)


def ventilation(rng: np.random.Generator, n: int) -> Signal:
    """Air conditioning: steady noise over the hum of a fan."""
    fan = tone(rng, np.full(n, rng.uniform(90, 180)), [1, 0.5, 0.3])
    return noise(rng, n, 60, rng.uniform(800, 3000), -4) + 0.3 * fan


def wind(rng: np.random.Generator, n: int) -> Signal:
    """Gusts in leaves and over the microphone."""
    gusts = wander(rng, n, 0.05, 1.0, 0.8) ** 2
    return gusts * (noise(rng, n, 30, 400, -4) + 0.3 * noise(rng, n, 1000, 6000))


def fountain(rng: np.random.Generator, n: int) -> Signal:
    """Falling water: a dense patter of drops over a steady rush."""
    drops = [strike(f, 20 / f) for f in rng.uniform(500, 3500, 12)]
    patter = [(t, drops[rng.integers(12)] * rng.uniform(0.2, 1)) for t in moments(rng, n, 150)]
    return scatter(n, patter) + 0.15 * noise(rng, n, 400, 8000) * wander(rng, n, 0.6, 1.0, 15)


def bird(rng: np.random.Generator, n: int) -> Signal:
    """A songbird that repeats its phrase: a few notes, each a fast glide between 2 and 7 kHz."""
    notes = [_chirp(rng) for _ in range(rng.integers(2, 6))]
    gap = rng.uniform(0.08, 0.2)
    return scatter(
        n, [(t + i * gap, x) for t in beats(rng, n, rng.uniform(0.9, 2.2), 0.3) for i, x in enumerate(notes)]
    )


def _chirp(rng: np.random.Generator) -> Signal:
    n = round(rng.uniform(0.05, 0.15) * RATE)
    start, end = rng.uniform(2000, 7000, 2)
    return tone(rng, np.linspace(start, end, n), [1.0]) * np.hanning(n)


def church_bell(rng: np.random.Generator, n: int) -> Signal:
    """A bell tower: slow strokes whose hum outlasts the strike tone."""
    stroke = strike(rng.uniform(250, 450) * np.array([0.5, 1, 1.2, 1.5, 2, 2.7]), [5, 4, 3, 2, 2, 1])
    return scatter(n, [(t, stroke) for t in beats(rng, n, rng.uniform(1.4, 2.4), 0.02)])


def escalator(rng: np.random.Generator, n: int) -> Signal:
    """Steps of an escalator that run over the comb: a soft regular clatter on a motor hum."""
    clunk = burst(rng, 0.1, 150, rng.uniform(1000, 3000))
    hum = 0.05 * tone(rng, np.full(n, rng.uniform(45, 60)), [1, 0.6, 0.4, 0.3])
    return scatter(n, [(t, clunk * rng.uniform(0.7, 1)) for t in beats(rng, n, rng.uniform(0.28, 0.42), 0.02)]) + hum
