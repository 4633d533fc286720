"""Ten shapes as signed distances and ten surfaces as mixing weights; the unit of both is the radius of the shape."""

from collections.abc import Callable

import numpy as np

Plane = np.ndarray
"""One value for each point of the pixel grid, (row, column)."""

PERIOD = 0.62
"""Wavelength of the repeated surfaces, in radii."""


def _box(x: Plane, y: Plane, width: float, height: float) -> Plane:
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def _triangle(x: Plane, y: Plane) -> Plane:
    return np.max([x * np.sin(angle) + y * np.cos(angle) for angle in 2 * np.pi / 3 * np.arange(3)], axis=0) - 0.58


def _star(x: Plane, y: Plane) -> Plane:
    """Five points: one edge, from tip to notch, mirrored and turned."""
    tip, notch = np.array([1.2, 0.0]), 0.5 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
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
    column, row = np.floor(x / 0.2), np.floor(y / 0.2)
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
