"""The ten scenes as a table of sources, and the rendering of one clip."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np

from asc_mrkd.datasets.synthetic import sources
from asc_mrkd.datasets.synthetic.places import CABIN, HALL, OPEN, Space, bed_noise, draw_place, record
from asc_mrkd.datasets.synthetic.signals import RATE, Signal

FRAMES = 10 * RATE
"""Samples per channel of a clip of 10 s."""


@dataclass(frozen=True)
class Layer:
    """One kind of source in a scene."""

    source: Callable[[np.random.Generator, int], Signal]
    level: tuple[float, float]
    """Range in dB of the loudest tenth of a second; the bed of noise lies at BED_LEVEL."""
    chance: float = 1.0
    """Probability that a clip has this layer."""
    count: tuple[int, int] = (1, 1)
    """Range of the number of sources, ends included."""


@dataclass(frozen=True)
class Scene:
    """Sources of a scene, and the kind of space that it takes place in."""

    space: Space
    layers: tuple[Layer, ...]


BED_LEVEL = -4.5
"""Level in dB of the bed of noise, on the scale of the layers."""

SCENES: dict[str, Scene] = {
    "airport": Scene(
        HALL,
        (
            Layer(sources.trolley, (4, 12), count=(1, 3)),
            Layer(sources.announcement, (2, 10), 0.6),
            Layer(sources.babble, (-4, 6), 0.8),
            Layer(sources.footsteps, (0, 8), 0.5),
            Layer(sources.ventilation, (-8, 2), 0.6),
        ),
    ),
    "bus": Scene(
        CABIN,
        (
            Layer(sources.diesel, (2, 10)),
            Layer(sources.rattles, (2, 12), 0.9),
            Layer(sources.air_brake, (0, 10), 0.6),
            Layer(sources.voice, (-6, 6), 0.5),
            Layer(sources.passing_car, (-4, 4), 0.4),
        ),
    ),
    "metro": Scene(
        CABIN,
        (
            Layer(partial(sources.rail_joints, interval=(0.4, 0.7)), (4, 14)),
            Layer(sources.traction, (0, 10), 0.9),
            Layer(sources.rolling, (0, 6), 0.8),
            Layer(sources.door_beeps, (0, 8), 0.4),
            Layer(sources.voice, (-6, 4), 0.4),
        ),
    ),
    "metro_station": Scene(
        HALL,
        (
            Layer(sources.arriving_train, (4, 14), 0.8),
            Layer(sources.escalator, (2, 10), 0.7),
            Layer(sources.squeal, (-2, 8), 0.5),
            Layer(sources.door_beeps, (0, 8), 0.5),
            Layer(sources.footsteps, (0, 10), 0.8, (1, 3)),
            Layer(sources.announcement, (0, 8), 0.3),
            Layer(sources.babble, (-6, 4), 0.5),
        ),
    ),
    "park": Scene(
        OPEN,
        (
            Layer(sources.bird, (2, 14), count=(1, 4)),
            Layer(sources.wind, (-4, 8), 0.7),
            Layer(sources.gravel_steps, (0, 10), 0.6),
            Layer(sources.voice, (-6, 4), 0.4),
            Layer(sources.passing_car, (-8, 0), 0.3),
        ),
    ),
    "public_square": Scene(
        OPEN,
        (
            Layer(sources.fountain, (2, 10), 0.8),
            Layer(sources.church_bell, (2, 10), 0.5),
            Layer(sources.babble, (-4, 6), 0.7),
            Layer(sources.footsteps, (0, 8), 0.6, (1, 2)),
            Layer(sources.bird, (-6, 4), 0.3),
            Layer(sources.passing_car, (-6, 4), 0.3),
        ),
    ),
    "shopping_mall": Scene(
        HALL,
        (
            Layer(sources.music, (0, 10), 0.8),
            Layer(sources.till, (0, 10), 0.6),
            Layer(sources.dishes, (0, 10), 0.6),
            Layer(sources.babble, (0, 8), 0.9),
            Layer(sources.footsteps, (-4, 6), 0.5),
            Layer(sources.ventilation, (-8, 2), 0.5),
        ),
    ),
    "street_pedestrian": Scene(
        OPEN,
        (
            Layer(sources.footsteps, (6, 14), count=(3, 6)),
            Layer(sources.babble, (-2, 8), 0.9),
            Layer(sources.busker, (0, 8), 0.4),
            Layer(sources.bicycle_bell, (2, 10), 0.4),
            Layer(sources.bird, (-6, 4), 0.2),
        ),
    ),
    "street_traffic": Scene(
        OPEN,
        (
            Layer(sources.passing_car, (6, 16), count=(2, 4)),
            Layer(sources.idling, (-2, 8), 0.5),
            Layer(sources.horn, (0, 10), 0.3),
            Layer(sources.air_brake, (-2, 6), 0.2),
            Layer(sources.footsteps, (-4, 6), 0.3),
            Layer(sources.wind, (-6, 4), 0.3),
        ),
    ),
    "tram": Scene(
        CABIN,
        (
            Layer(partial(sources.rail_joints, interval=(1.0, 1.7)), (4, 14)),
            Layer(sources.tram_bell, (2, 12), 0.6),
            Layer(sources.squeal, (0, 10), 0.5),
            Layer(sources.traction, (-4, 6), 0.5),
            Layer(sources.rolling, (-2, 6), 0.8),
            Layer(sources.babble, (-6, 4), 0.5),
        ),
    ),
}

ANYWHERE = (
    Layer(sources.handling, (-6, 6), 0.4),
    Layer(sources.voice, (-4, 8), 0.25),
    Layer(sources.footsteps, (-4, 6), 0.2),
    Layer(sources.ventilation, (-4, 6), 0.3),
    Layer(sources.rolling, (-4, 6), 0.2),
)
"""Layers of every scene, which say nothing about it."""


def render_clip(seed: int, name: str) -> Signal:
    """Render a clip, stereo float32 (FRAMES, 2), as a function of the seed and its file name alone.

    Clips of one location (`<scene>-<city>-<location id>`) share the place.
    """
    scene = SCENES[name.partition("-")[0]]
    location = name.rsplit("-", 2)[0]
    place = draw_place(_rng_for(seed, location), scene.space)
    rng = _rng_for(seed, name)
    sound = bed_noise(rng, place, FRAMES) * 10 ** (BED_LEVEL / 20)
    for layer in scene.layers + ANYWHERE:
        if rng.random() >= layer.chance:
            continue
        for _ in range(rng.integers(*layer.count, endpoint=True)):
            moving = _pan(rng, layer.source(rng, FRAMES))
            sound += moving * 10 ** (rng.uniform(*layer.level) / 20)
    return record(rng, place, sound).T


def _rng_for(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(name.encode())])


def _pan(rng: np.random.Generator, mono: Signal) -> Signal:
    """Pan a source (n,) from one direction to another at constant power: (2, n), loudest tenth of a second at 0 dB."""
    mono = mono.astype(np.float32)
    loudest = np.sqrt(np.max(np.mean(mono.reshape(-1, RATE // 10) ** 2, axis=1)))
    start, end = rng.uniform(0, np.pi / 2, 2)
    angle = np.linspace(start, end, len(mono), dtype=np.float32)
    return np.stack([np.cos(angle), np.sin(angle)]) * (mono / loudest)
