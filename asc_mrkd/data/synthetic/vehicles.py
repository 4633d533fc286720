"""Sources with wheels: engines, rails, doors, and what passes in the street."""

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


def diesel(rng: np.random.Generator, n: int) -> Signal:
    """A bus engine that pulls through its gears: the pitch rises, falls back at every shift and rises again."""
    shifts = beats(rng, n, rng.uniform(2.0, 3.5), 0.3)
    times = np.column_stack([shifts, shifts + 0.25]).ravel()
    low = rng.uniform(24, 32)
    frequency = path(n, times, np.tile([low * rng.uniform(1.6, 2.2), low], len(shifts)))
    clatter = noise(rng, n, 300, 3000) * wander(rng, n, 0.1, 0.5, 25)
    return tone(rng, frequency * wander(rng, n, 0.98, 1.02, 8), _rough(rng, 40, 0.9)) * (1 + clatter)


def idling(rng: np.random.Generator, n: int) -> Signal:
    """A waiting car: steady firing with the unevenness of a cold engine."""
    frequency = rng.uniform(22, 34) * wander(rng, n, 0.97, 1.03, 6)
    return tone(rng, frequency, _rough(rng, 40, 0.9)) * wander(rng, n, 0.6, 1.0, 8)


def traction(rng: np.random.Generator, n: int) -> Signal:
    """The electric motor of a train: its whine climbs in steps of the inverter, holds, and comes down again."""
    top = rng.uniform(500, 900)
    start = rng.uniform(-4, 3)
    times = start + np.array([0, 1.5, 1.51, 3, 3.01, 5, 8, 11])
    frequency = path(n, times, top * np.array([0.25, 0.7, 0.4, 0.9, 0.55, 1, 1, 0.3]))
    return tone(rng, frequency, _rough(rng, 8, 0.8)) * wander(rng, n, 0.7, 1.0, 3)


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


def passing_car(rng: np.random.Generator, n: int) -> Signal:
    """Tyres and engine that come near and go away within a few seconds."""
    distance = (np.arange(n) / RATE - rng.uniform(0, n / RATE)) / rng.uniform(0.4, 1.0)
    nearness = 1 / (1 + distance**2)
    pitch = rng.uniform(60, 110) * (1 - 0.06 * np.tanh(distance))
    tyres = noise(rng, n, rng.uniform(200, 600), rng.uniform(1500, 5000), -2)
    return nearness * (tyres + 0.7 * tone(rng, pitch, _rough(rng, 20, 0.8)))


def arriving_train(rng: np.random.Generator, n: int) -> Signal:
    """A train that runs into a station: noise that swells over seconds, brakes, and stops with a hiss."""
    stop = rng.uniform(4, 12)
    envelope = path(n, [stop - 8, stop - 2.5, stop], [0, 1, 0]) ** 2
    hiss = scatter(n, [(stop, burst(rng, 1.5, 2000, 12_000))])
    return noise(rng, n, 60, rng.uniform(1200, 3000), -3) * envelope + 0.5 * hiss


def air_brake(rng: np.random.Generator, n: int) -> Signal:
    """Compressed air let off: hisses of about a second."""
    return scatter(n, [(t, burst(rng, rng.uniform(0.5, 1.5), 1500, 14_000)) for t in moments(rng, n, 0.2)])


def rattles(rng: np.random.Generator, n: int) -> Signal:
    """Loose panels and windows: short dry clicks in flurries when the road is rough."""
    roughness = wander(rng, n, -0.5, 1.0, 1.5)
    times = [t for t in moments(rng, n, 45) if roughness[int(t * RATE)] > rng.random()]
    click = burst(rng, 0.03, 800, rng.uniform(4000, 9000))
    return scatter(n, [(t, click * rng.uniform(0.3, 1)) for t in times])


def door_beeps(rng: np.random.Generator, n: int) -> Signal:
    """The warning before the doors close: a row of equal beeps."""
    beep = np.sin(2 * np.pi * rng.uniform(1200, 2600) * np.arange(round(0.12 * RATE)) / RATE)
    start, count, period = rng.uniform(0, 6), rng.integers(6, 13), rng.uniform(0.22, 0.4)
    return scatter(n, [(start + i * period, beep) for i in range(count)])


def horn(rng: np.random.Generator, n: int) -> Signal:
    """A car horn: two reeds a third apart, once or twice."""
    frequency = np.full(n, rng.uniform(330, 450))
    sound = tone(rng, frequency, _rough(rng, 15, 0.3)) + tone(rng, 1.26 * frequency, _rough(rng, 15, 0.3))
    start = rng.uniform(0, 8)
    return sound * path(n, start + np.array([0, 0.03, 0.4, 0.45, 0.6, 0.63, 1.1, 1.15]), [0, 1, 1, 0, 0, 1, 1, 0])


def tram_bell(rng: np.random.Generator, n: int) -> Signal:
    """The gong of a tram: two to four quick strokes."""
    base = rng.uniform(700, 1100)
    stroke = strike(base * np.array([1, 2.4, 3.9]), [0.9, 0.6, 0.3])
    period = rng.uniform(0.18, 0.3)
    starts = rng.uniform(0, n / RATE - 1, rng.integers(1, 4))
    return scatter(n, [(start + i * period, stroke) for start in starts for i in range(rng.integers(2, 5))])


def _rough(rng: np.random.Generator, partials: int, fall: float) -> Signal:
    """Uneven amplitudes of harmonics k that fall as k ** -fall."""
    return rng.uniform(0.2, 1.0, partials) * np.arange(1, partials + 1) ** -fall
