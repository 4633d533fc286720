"""One built-in image: a shape with a surface before a cluttered background, everything else left to chance."""

import numpy as np

from asc_mrkd.data.synthetic.shapes import SHAPES, SURFACES, Plane
from asc_mrkd.draws import generator

SIDE = 32
"""Height and width in pixels."""

OVERSAMPLING = 3
"""Points of the grid for each pixel and axis; their mean is the pixel."""

CLASSES = tuple(
    f"{shape}_{tuple(SURFACES)[(number + turn) % len(SURFACES)]}"
    for turn in range(len(SURFACES))
    for number, shape in enumerate(SHAPES)
)
"""All pairs of a shape and a surface, ordered so that each ten hold every shape and every surface once."""


def render_image(seed: int, name: str, index: int) -> np.ndarray:
    """Draw image `index` of the class `name`, (row, column, RGB), uint8; a function of the three arguments alone.

    >>> render_image(0, "ring_stripes", 3).shape
    (32, 32, 3)
    """
    shape, surface = name.split("_")
    rng = generator(f"built-in image {name}", seed, index)
    first, second, ground = _draw_colours(rng)
    y, x = (np.indices((SIDE * OVERSAMPLING,) * 2) + 0.5) / OVERSAMPLING
    image = _background(rng, x, y, ground)
    radius = rng.uniform(7, 12)
    u, v = _turned(rng, (x - rng.uniform(11, 21)) / radius, (y - rng.uniform(11, 21)) / radius)
    distance = SHAPES[shape](u, v)
    u, v = _turned(rng, u, v)
    weight = SURFACES[surface](u, v, distance)[..., None]
    inside = (distance < 0)[..., None]
    image = np.where(inside, first + weight * (second - first), image)
    if rng.random() < 0.4:
        _cover(rng, image, x, y)
    image = image.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING, 3).mean((1, 3))
    noise = rng.uniform(0.01, 0.06) * rng.standard_normal(image.shape)
    return np.rint(255 * np.clip(image + noise, 0, 1)).astype(np.uint8)


def _draw_colours(rng: np.random.Generator) -> np.ndarray:
    """Draw two colours of the object and one of the background, three steps of brightness apart, (colour, RGB)."""
    dark, step = rng.uniform(0.1, 0.35), rng.uniform(0.14, 0.25)
    brightness = dark + step * rng.permutation(3)
    return np.clip(brightness[:, None] + rng.uniform(-0.15, 0.15, (3, 3)), 0, 1)


def _turned(rng: np.random.Generator, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _background(rng: np.random.Generator, x: Plane, y: Plane, colour: np.ndarray) -> np.ndarray:
    """A slope of light with ellipses and bars of similar colours on it, (row, column, RGB)."""
    slope = rng.uniform(-0.006, 0.006, 2)
    image = colour + (slope[0] * (x - SIDE / 2) + slope[1] * (y - SIDE / 2))[..., None]
    for _ in range(rng.integers(6, 14)):
        u, v = _turned(rng, x - rng.uniform(0, SIDE), y - rng.uniform(0, SIDE))
        length, width = rng.uniform(1, 12), rng.uniform(0.8, 3)
        blob = np.hypot(u / length, v / width) < 1 if rng.random() < 0.5 else (np.abs(u) < length) & (np.abs(v) < width)
        image[blob] = colour + rng.uniform(-0.12, 0.12, 3)
    return image


def _cover(rng: np.random.Generator, image: np.ndarray, x: Plane, y: Plane) -> None:
    """Draw a bar of any colour across the image, off its middle: it hides a part of most objects."""
    u, _ = _turned(rng, x - SIDE / 2, y - SIDE / 2)
    start = rng.uniform(3, 8)
    image[(u > start) & (u < start + rng.uniform(2, 4))] = rng.uniform(0, 1, 3)
