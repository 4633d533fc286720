"""Sources of sound: people, things indoors and outdoors, and vehicles.

Each source renders `n` samples of a mono signal (n,) at RATE; `rng` is its only source of chance.
"""

import numpy as np

from asc_mrkd.datasets.synthetic.signals import (
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


# People: voices, steps and things that people carry.


def voice(rng: np.random.Generator, n: int) -> Signal:
    """One person who speaks in phrases: syllables with a pitch, a vowel and now and then a sibilant."""
    pitch = rng.uniform(90, 240)
    tract = rng.uniform(0.9, 1.15)
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
    """A vowel at `pitch` Hz with the formants of a vocal tract, that rises and falls within `length` seconds."""
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
    start = rng.uniform(-1, 4)
    notes = rng.integers(2, 5)
    scale = rng.uniform(400, 620) * 2 ** (np.array([0, 4, 7, 12]) / 12)
    melody = rng.permutation(scale)[:notes]
    chime = [(start + 0.5 * i, strike([pitch, 2 * pitch], [1.6, 0.8])) for i, pitch in enumerate(melody)]
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


def handling(rng: np.random.Generator, n: int) -> Signal:
    """Clothes and bags near the microphone: rustles without a rhythm."""
    return noise(rng, n, 500, 8000, -3) * np.maximum(wander(rng, n, -2, 1, 4), 0)


# Indoors: shops and halls.


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
    drum = strike([55, 80], [0.3, 0.2])
    cymbal = 0.2 * burst(rng, 0.08, 5000, 14_000)
    times = beats(rng, n, beat, 0.0)
    events = [(t + lag, grain) for t in times for lag, grain in ((0, drum), (beat / 2, cymbal))]
    for t in times[::4]:
        root = 220 * 2 ** (rng.choice([0, 3, 5, 7, 10]) / 12)
        frequency = np.full(round(4 * beat * RATE), root)
        events += [(t, 0.3 * tone(rng, step * frequency, [1, 0.5, 0.3, 0.2])) for step in (1, 1.26, 1.5)]
    return scatter(n, events)


def ventilation(rng: np.random.Generator, n: int) -> Signal:
    """Air conditioning: steady noise over the hum of a fan."""
    fan = tone(rng, np.full(n, rng.uniform(90, 180)), [1, 0.5, 0.3])
    return noise(rng, n, 60, rng.uniform(800, 3000), -4) + 0.3 * fan


def escalator(rng: np.random.Generator, n: int) -> Signal:
    """Steps of an escalator that run over the comb: a soft regular clatter on a motor hum."""
    clunk = burst(rng, 0.1, 150, rng.uniform(1000, 3000))
    hum = 0.05 * tone(rng, np.full(n, rng.uniform(45, 60)), [1, 0.6, 0.4, 0.3])
    return scatter(n, [(t, clunk * rng.uniform(0.7, 1)) for t in beats(rng, n, rng.uniform(0.28, 0.42), 0.02)]) + hum


# Outdoors: street music, weather, water, birds and bells.


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


# Vehicles: engines, rails, doors, and cars that pass in the street.


def diesel(rng: np.random.Generator, n: int) -> Signal:
    """A bus engine that pulls through its gears: the pitch rises, falls back at every shift and rises again."""
    shifts = beats(rng, n, rng.uniform(2.0, 3.5), 0.3)
    times = np.column_stack([shifts, shifts + 0.25]).ravel()
    low = rng.uniform(24, 32)
    frequency = path(n, times, np.tile([low * rng.uniform(1.6, 2.2), low], len(shifts)))
    clatter = noise(rng, n, 300, 3000) * wander(rng, n, 0.1, 0.5, 25)
    return tone(rng, frequency * wander(rng, n, 0.98, 1.02, 8), _uneven_harmonics(rng, 40, 0.9)) * (1 + clatter)


def idling(rng: np.random.Generator, n: int) -> Signal:
    """A waiting car: steady firing with the unevenness of a cold engine."""
    frequency = rng.uniform(22, 34) * wander(rng, n, 0.97, 1.03, 6)
    return tone(rng, frequency, _uneven_harmonics(rng, 40, 0.9)) * wander(rng, n, 0.6, 1.0, 8)


def passing_car(rng: np.random.Generator, n: int) -> Signal:
    """Tyres and engine that come near and go away within a few seconds."""
    distance = (np.arange(n) / RATE - rng.uniform(0, n / RATE)) / rng.uniform(0.4, 1.0)
    nearness = 1 / (1 + distance**2)
    pitch = rng.uniform(60, 110) * (1 - 0.06 * np.tanh(distance))
    tyres = noise(rng, n, rng.uniform(200, 600), rng.uniform(1500, 5000), -2)
    return nearness * (tyres + 0.7 * tone(rng, pitch, _uneven_harmonics(rng, 20, 0.8)))


def horn(rng: np.random.Generator, n: int) -> Signal:
    """A car horn: two reeds a third apart, once or twice."""
    frequency = np.full(n, rng.uniform(330, 450))
    sound = tone(rng, frequency, _uneven_harmonics(rng, 15, 0.3)) + tone(
        rng, 1.26 * frequency, _uneven_harmonics(rng, 15, 0.3)
    )
    start = rng.uniform(0, 8)
    return sound * path(n, start + np.array([0, 0.03, 0.4, 0.45, 0.6, 0.63, 1.1, 1.15]), [0, 1, 1, 0, 0, 1, 1, 0])


def air_brake(rng: np.random.Generator, n: int) -> Signal:
    """Compressed air let off: hisses of about a second."""
    return scatter(n, [(t, burst(rng, rng.uniform(0.5, 1.5), 1500, 14_000)) for t in moments(rng, n, 0.2)])


def rattles(rng: np.random.Generator, n: int) -> Signal:
    """Loose panels and windows: short dry clicks in flurries when the road is rough."""
    roughness = wander(rng, n, -0.5, 1.0, 1.5)
    times = [t for t in moments(rng, n, 45) if roughness[int(t * RATE)] > rng.random()]
    click = burst(rng, 0.03, 800, rng.uniform(4000, 9000))
    return scatter(n, [(t, click * rng.uniform(0.3, 1)) for t in times])


def traction(rng: np.random.Generator, n: int) -> Signal:
    """The electric motor of a train: its whine climbs in steps of the inverter, holds, and comes down again."""
    top = rng.uniform(500, 900)
    start = rng.uniform(-4, 3)
    times = start + np.array([0, 1.5, 1.51, 3, 3.01, 5, 8, 11])
    frequency = path(n, times, top * np.array([0.25, 0.7, 0.4, 0.9, 0.55, 1, 1, 0.3]))
    return tone(rng, frequency, _uneven_harmonics(rng, 8, 0.8)) * wander(rng, n, 0.7, 1.0, 3)


def rail_joints(rng: np.random.Generator, n: int, interval: tuple[float, float] = (0.5, 0.8)) -> Signal:
    """The double knock of a bogie at every rail joint, `interval` seconds apart at the train's speed."""
    period = rng.uniform(*interval)
    axle = period * rng.uniform(0.2, 0.28)
    knock = burst(rng, 0.12, 120, rng.uniform(1500, 5000))
    return scatter(
        n, [(t + lag, knock * rng.uniform(0.7, 1)) for t in beats(rng, n, period, 0.02) for lag in (0, axle)]
    )


def rolling(rng: np.random.Generator, n: int) -> Signal:
    """Wheels on a track: low noise that swells with the ground under it."""
    return noise(rng, n, 40, rng.uniform(300, 900), -3) * wander(rng, n, 0.5, 1.0, 2)


def squeal(rng: np.random.Generator, n: int) -> Signal:
    """Wheel flanges or brakes: one or two wavering high tones that come and go."""
    frequency = rng.uniform(1500, 4000) * wander(rng, n, 0.96, 1.04, 12)
    start = rng.uniform(0, 0.6 * n / RATE)
    length = rng.uniform(1.5, 3)
    envelope = path(n, start + length * np.array([0, 0.3, 0.8, 1]), [0, 1, 0.7, 0])
    return tone(rng, frequency, [1, 0.5, 0.25]) * envelope * wander(rng, n, 0.3, 1.0, 30)


def arriving_train(rng: np.random.Generator, n: int) -> Signal:
    """A train that runs into a station: noise that swells over seconds, brakes, and stops with a hiss."""
    stop = rng.uniform(4, 12)
    envelope = path(n, [stop - 8, stop - 2.5, stop], [0, 1, 0]) ** 2
    hiss = scatter(n, [(stop, burst(rng, 1.5, 2000, 12_000))])
    return noise(rng, n, 60, rng.uniform(1200, 3000), -3) * envelope + 0.5 * hiss


def door_beeps(rng: np.random.Generator, n: int) -> Signal:
    """The warning before the doors close: a row of equal beeps."""
    beep = np.sin(2 * np.pi * rng.uniform(1200, 2600) * np.arange(round(0.12 * RATE)) / RATE)
    start = rng.uniform(0, 6)
    count = rng.integers(6, 13)
    period = rng.uniform(0.22, 0.4)
    return scatter(n, [(start + i * period, beep) for i in range(count)])


def tram_bell(rng: np.random.Generator, n: int) -> Signal:
    """The gong of a tram: two to four quick strokes."""
    base = rng.uniform(700, 1100)
    stroke = strike(base * np.array([1, 2.4, 3.9]), [0.9, 0.6, 0.3])
    period = rng.uniform(0.18, 0.3)
    starts = rng.uniform(0, n / RATE - 1, rng.integers(1, 4))
    return scatter(n, [(start + i * period, stroke) for start in starts for i in range(rng.integers(2, 5))])


def _uneven_harmonics(rng: np.random.Generator, partials: int, fall: float) -> Signal:
    """Draw uneven amplitudes of harmonics k that fall as k ** -fall."""
    return rng.uniform(0.2, 1.0, partials) * np.arange(1, partials + 1) ** -fall
