"""Sources that people make: voices, steps, and the things in their hands."""

import numpy as np

from asc_mrkd.data.synthetic.signals import (
    RATE,
    Signal,
    beats,
    burst,
    moments,
    noise,
    path,
    scatter,
    strike,
    tone,
    wander,
)

VOWELS = ((300, 2300, 3000), (450, 1900, 2600), (700, 1200, 2500), (500, 900, 2400), (320, 800, 2300))
"""First three formants in Hz of five typical vowels."""


def voice(rng: np.random.Generator, n: int) -> Signal:
    """One person who speaks in phrases: syllables with a pitch, a vowel and now and then a sibilant."""
    pitch, tract = rng.uniform(90, 240), rng.uniform(0.9, 1.15)
    events = []
    time = rng.uniform(-1, 1)
    while time < n / RATE:
        length = rng.uniform(0.11, 0.24)
        events.append((time, _syllable(rng, pitch * rng.uniform(0.85, 1.2), tract, length)))
        if rng.random() < 0.25:
            events.append((time - 0.08, 0.3 * noise(rng, 4096, 4000, 9000) * np.hanning(4096)))
        pause = rng.uniform(0.4, 1.5) if rng.random() < 0.12 else 0.0
        time += length * rng.uniform(0.9, 1.1) + pause
    return scatter(n, events)


def _syllable(rng: np.random.Generator, pitch: float, tract: float, length: float) -> Signal:
    """A vowel at `pitch` Hz with the formants of a vocal tract, risen and fallen within `length` seconds."""
    n = round(length * RATE)
    harmonics = pitch * np.arange(1, int(5000 / pitch))
    formants = tract * np.array(VOWELS[rng.integers(len(VOWELS))])
    resonance = (1 / (1 + ((harmonics[:, None] - formants) / 90) ** 2) @ np.array([1, 0.5, 0.3])) + 0.01
    glide = pitch * np.linspace(1, rng.uniform(0.85, 1.1), n)
    return tone(rng, glide, resonance) * np.hanning(n)


def babble(rng: np.random.Generator, n: int) -> Signal:
    """Several people who talk at the same time, near and far."""
    return np.sum([rng.uniform(0.3, 1) * voice(rng, n) for _ in range(rng.integers(3, 7))], axis=0)


def announcement(rng: np.random.Generator, n: int) -> Signal:
    """A chime of two to four notes, then a voice through a loudspeaker."""
    start, notes = rng.uniform(-1, 4), rng.integers(2, 5)
    scale = rng.uniform(400, 620) * 2 ** (np.array([0, 4, 7, 12]) / 12)
    chime = [(start + 0.5 * i, strike([f, 2 * f], [1.6, 0.8])) for i, f in enumerate(rng.permutation(scale)[:notes])]
    talk = voice(rng, n)
    talk = 0.8 * talk / np.abs(talk).max() * path(n, start + 0.5 * notes + np.array([0.5, 0.7]), [0, 1])
    return scatter(n, chime) + talk


def footsteps(rng: np.random.Generator, n: int) -> Signal:
    """Somebody who walks by on hard ground: heel and sole at a steady pace, nearest at some moment."""
    heel = burst(rng, 0.07, 150, rng.uniform(2500, 8000))
    sole = 0.4 * burst(rng, 0.09, 300, 3000)
    near = 1 / (1 + ((np.arange(n) / RATE - rng.uniform(0, n / RATE)) / 3) ** 2)
    steps = beats(rng, n, rng.uniform(0.45, 0.65), 0.05)
    return near * scatter(n, [(t + lag, grain) for t in steps for lag, grain in ((0, heel), (0.09, sole))])


def gravel_steps(rng: np.random.Generator, n: int) -> Signal:
    """Steps on a gravel path: every step a handful of crunches."""
    grain = burst(rng, 0.02, 1500, 9000)
    steps = beats(rng, n, rng.uniform(0.5, 0.7), 0.06)
    return scatter(n, [(t + rng.uniform(0, 0.2), grain * rng.uniform(0.2, 1)) for t in steps for _ in range(14)])


def trolley(rng: np.random.Generator, n: int) -> Signal:
    """A suitcase on wheels: rough noise that beats at every joint between the tiles."""
    tiles = beats(rng, n, rng.uniform(0.09, 0.15), 0.04)
    click = burst(rng, 0.05, 400, 6000)
    near = 1 / (1 + ((np.arange(n) / RATE - rng.uniform(0, n / RATE)) / 2.5) ** 2)
    return near * (scatter(n, [(t, click) for t in tiles]) + 0.08 * noise(rng, n, 300, 4000))


def dishes(rng: np.random.Generator, n: int) -> Signal:
    """Cups and plates: thin, inharmonic clinks in small groups."""
    clinks = (t + lag for t in moments(rng, n, 0.7) for lag in rng.uniform(0, 0.5, rng.integers(1, 4)))
    return scatter(n, [(t, strike(rng.uniform(2000, 8000, 4), rng.uniform(0.05, 0.25, 4))) for t in clinks])


def till(rng: np.random.Generator, n: int) -> Signal:
    """A scanner at the checkout: one short beep for each article."""
    beep = np.sin(2 * np.pi * rng.uniform(1500, 3000) * np.arange(round(0.09 * RATE)) / RATE)
    return scatter(n, [(t, beep) for t in beats(rng, n, rng.uniform(1.0, 2.2), 0.5)])


def music(rng: np.random.Generator, n: int) -> Signal:
    """Background music: chords over a beat of drum and cymbal."""
    beat = rng.uniform(0.42, 0.6)
    drum, cymbal = strike([55, 80], [0.3, 0.2]), 0.2 * burst(rng, 0.08, 5000, 14_000)
    times = beats(rng, n, beat, 0.0)
    events = [(t + lag, grain) for t in times for lag, grain in ((0, drum), (beat / 2, cymbal))]
    for t in times[::4]:
        root = 220 * 2 ** (rng.choice([0, 3, 5, 7, 10]) / 12)
        length = np.full(round(4 * beat * RATE), root)
        events += [(t, 0.3 * tone(rng, step * length, [1, 0.5, 0.3, 0.2])) for step in (1, 1.26, 1.5)]
    return scatter(n, events)


def busker(rng: np.random.Generator, n: int) -> Signal:
    """A street musician: a melody of plucked notes on a five-tone scale."""
    scale = rng.uniform(260, 400) * 2 ** (np.array([0, 2, 4, 7, 9, 12]) / 12)
    times = beats(rng, n, rng.uniform(0.22, 0.4), 0.0)
    return scatter(n, [(t, strike(rng.choice(scale) * np.arange(1, 6), 1.2 / np.arange(1, 6))) for t in times])


def bicycle_bell(rng: np.random.Generator, n: int) -> Signal:
    """The ring of a bicycle bell: fast strokes on a small high bell, once or twice."""
    stroke = strike(rng.uniform(2500, 3800) * np.array([1, 1.01, 2.7]), [0.5, 0.5, 0.2])
    return scatter(
        n, [(start + 0.06 * i, stroke) for start in moments(rng, n, 0.2) for i in range(rng.integers(4, 10))]
    )


def handling(rng: np.random.Generator, n: int) -> Signal:
    """Clothes and bags near the microphone: rustles without a rhythm."""
    return noise(rng, n, 500, 8000, -3) * np.maximum(wander(rng, n, -2, 1, 4), 0)
