"""The built-in images: 100 classes, pairs of a shape and a surface, and the drawing of one image."""

from collections.abc import Callable

import numpy as np

from asc_mrkd.rng import generator

Plane = np.ndarray
"""One value per point of the pixel grid, (row, column)."""

PERIOD = 0.62
"""Wavelength of the repeated surfaces, in radii."""


def _box(x: Plane, y: Plane, width: float, height: float) -> Plane:
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _triangle(x: Plane, y: Plane) -> Plane:
    return np.max([x * np.sin(angle) + y * np.cos(angle) for angle in 2 * np.pi / 3 * np.arange(3)], axis=0) - 0.58


def _star(x: Plane, y: Plane) -> Plane:
    """Five points: one edge, from tip to notch, mirrored and turned."""
    tip = np.array([1.2, 0.0])
    notch = 0.5 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    angle = np.abs((np.arctan2(x, y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    along, across = notch - tip
    radius = np.hypot(x, y)
    edge = (radius * np.cos(angle) - tip[0]) * across - radius * np.sin(angle) * along
    return edge / np.hypot(along, across)


SHAPES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "disc": lambda x, y: np.hypot(x, y) - 0.9,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.72) - 0.3,
    "square": lambda x, y: _box(x, y, 0.8, 0.8),
    "triangle": _triangle,
    "cross": lambda x, y: np.minimum(_box(x, y, 1.05, 0.33), _box(x, y, 0.33, 1.05)),
    "star": _star,
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 1.05, 0.85 - np.hypot(x - 0.6, y)),
    "bar": lambda x, y: _box(x, y, 1.2, 0.42),
    "corner": lambda x, y: np.minimum(_box(x + 0.55, y, 0.36, 0.95), _box(x, y - 0.59, 0.91, 0.36)),
    "dumbbell": lambda x, y: np.minimum(np.hypot(np.abs(x) - 0.72, y) - 0.5, _box(x, y, 0.7, 0.2)),
}
"""Signed distance of (x, y) to each outline in radii, negative inside."""


def _wave(x: Plane) -> Plane:
    return np.sin(2 * np.pi / PERIOD * x)


def _dots(x: Plane, y: Plane) -> Plane:
    cell = [(axis / PERIOD) % 1 - 0.5 for axis in (x, y)]
    return np.hypot(*cell) < 0.34


def _speckle(x: Plane, y: Plane) -> Plane:
    """Cells of a lattice, a little less than half of them set, without a visible order."""
    column = np.floor(x / 0.2)
    row = np.floor(y / 0.2)
    return (3 * column**2 + 7 * column * row + 5 * row**2 + column) % 11 < 5


SURFACES: dict[str, Callable[[Plane, Plane, Plane], Plane]] = {
    "plain": lambda x, y, d: np.zeros_like(x),
    "stripes": lambda x, y, d: _wave(x) > 0,
    "checks": lambda x, y, d: _wave(x / 1.4) * _wave(y / 1.4) > 0,
    "dots": lambda x, y, d: _dots(x, y),
    "circles": lambda x, y, d: _wave(np.hypot(x, y)) > 0,
    "spokes": lambda x, y, d: np.sin(5 * np.arctan2(y, x)) > 0,
    "fade": lambda x, y, d: np.clip(0.5 + 0.6 * x, 0, 1),
    "halves": lambda x, y, d: x > 0,
    "rim": lambda x, y, d: d > -0.18,
    "speckle": lambda x, y, d: _speckle(x, y),
}
"""Weight of the second colour at (x, y), whose distance to the outline is d."""


SIDE = 32
"""Height and width in pixels."""

OVERSAMPLING = 3
"""Points of the grid per pixel and axis; their mean is the pixel."""

CLASSES = tuple(
    f"{shape}_{tuple(SURFACES)[(number + turn) % len(SURFACES)]}"
    for turn in range(len(SURFACES))
    for number, shape in enumerate(SHAPES)
)
"""All pairs of a shape and a surface, ordered so that each ten hold every shape and every surface once."""


def render_image(seed: int, name: str, index: int) -> np.ndarray:
    """Draw image `index` of a class, (row, column, RGB) uint8, as a function of the three arguments alone.

    >>> render_image(0, "ring_stripes", 3).shape
    (32, 32, 3)
    """
    shape, surface = name.split("_")
    rng = generator(f"built-in image {name}", seed, index)
    first, second, ground = _draw_colours(rng)
    y, x = (np.indices((SIDE * OVERSAMPLING,) * 2) + 0.5) / OVERSAMPLING
    image = _draw_background(rng, x, y, ground)
    radius = rng.uniform(7, 12)
    across = (x - rng.uniform(11, 21)) / radius
    down = (y - rng.uniform(11, 21)) / radius
    u, v = _turn(rng, across, down)
    distance = SHAPES[shape](u, v)
    u, v = _turn(rng, u, v)
    weight = SURFACES[surface](u, v, distance)[..., None]
    inside = (distance < 0)[..., None]
    image = np.where(inside, first + weight * (second - first), image)
    if rng.random() < 0.4:
        _draw_cover(rng, image, x, y)
    image = image.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING, 3).mean((1, 3))
    noise = rng.uniform(0.01, 0.06) * rng.standard_normal(image.shape)
    return np.rint(255 * np.clip(image + noise, 0, 1)).astype(np.uint8)


def _draw_colours(rng: np.random.Generator) -> np.ndarray:
    """Draw two colours of the object and one of the background, three steps of brightness apart, (colour, RGB)."""
    dark = rng.uniform(0.1, 0.35)
    step = rng.uniform(0.14, 0.25)
    brightness = dark + step * rng.permutation(3)
    return np.clip(brightness[:, None] + rng.uniform(-0.15, 0.15, (3, 3)), 0, 1)


def _turn(rng: np.random.Generator, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Rotate the coordinates by a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _draw_background(rng: np.random.Generator, x: Plane, y: Plane, colour: np.ndarray) -> np.ndarray:
    """Draw a slope of light with ellipses and bars of similar colours on it, (row, column, RGB)."""
    slope = rng.uniform(-0.006, 0.006, 2)
    image = colour + (slope[0] * (x - SIDE / 2) + slope[1] * (y - SIDE / 2))[..., None]
    for _ in range(rng.integers(6, 14)):
        u, v = _turn(rng, x - rng.uniform(0, SIDE), y - rng.uniform(0, SIDE))
        length = rng.uniform(1, 12)
        width = rng.uniform(0.8, 3)
        ellipse = np.hypot(u / length, v / width) < 1
        bar = (np.abs(u) < length) & (np.abs(v) < width)
        blob = ellipse if rng.random() < 0.5 else bar
        image[blob] = colour + rng.uniform(-0.12, 0.12, 3)
    return image


def _draw_cover(rng: np.random.Generator, image: np.ndarray, x: Plane, y: Plane) -> None:
    """Draw a bar of any colour across the image, off its middle: it hides a part of most objects."""
    u, _ = _turn(rng, x - SIDE / 2, y - SIDE / 2)
    start = rng.uniform(3, 8)
    image[(u > start) & (u < start + rng.uniform(2, 4))] = rng.uniform(0, 1, 3)
