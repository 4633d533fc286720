"""The built-in images as a tree of PNG files with the layout of CINIC-10."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from asc_mrkd import __version__
from asc_mrkd.datasets.synthetic.dataset import check_range, claim, make_missing
from asc_mrkd.errors import DataError
from asc_mrkd.files import atomic_writer
from asc_mrkd.rng import generator

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


FOR_TRAINING = 0.8
"""Share of the images of a class that train."""

IMAGE_BYTES = 3000
"""About the size of an image."""

README = """# Built-in images

These images are **synthetic**: `asc-mrkd make-images` drew them. Size and layout are those of CINIC-10, without a valid
folder, so that every step can be tried without a download. An accuracy measured here says nothing about photographs.

Made with asc_mrkd {version}, seed {seed}, {classes} classes, {per_class} images per class.
"""


def make_images(
    out: str | os.PathLike[str],
    classes: int = 10,
    per_class: int = 100,
    seed: int = 0,
    workers: int | None = None,
    on_image: Callable[[], None] | None = None,
) -> Path:
    """Write the built-in images into `out` as `train|test/<class>/<class>-<index>.png` and return the folder.

    A class is a shape with a surface: `disc_plain`, `ring_stripes` ... Place, size, rotation, colours, clutter, cover
    and noise are drawn for each image, so that a pixel by itself says nothing. An image depends on `seed`, its class
    and its index only. The same call again makes what is missing; a finished set is left as it is.

    Args:
        out: folder that becomes the data set.
        classes: 2 to 100.
        per_class: images of 32 x 32 pixels for each class, at least 2; the first 80 % train, the others test.
        seed: another seed, other images of the same classes.
        workers: processes; None takes one for each CPU.
        on_image: called once for each image that is there.

    Raises:
        ConfigError: a number is out of its range.
        DataError: the folder holds something else, or cannot be written.
    """
    check_range("classes", classes, 2, len(CLASSES))
    check_range("per-class", per_class, 2)
    check_range("seed", seed, 0)
    check_range("workers", workers, 1)
    folder = Path(out)
    paths = [folder / name for name in plan_images(classes, per_class)]
    try:
        claim(folder, README.format(version=__version__, seed=seed, classes=classes, per_class=per_class))
        make_missing(paths, partial(_write_image, seed=seed), workers, on_image or (lambda: None))
    except OSError as error:
        size = f"{len(paths) * IMAGE_BYTES / 1e6:.0f} MB"
        raise DataError(
            f"{folder}: {error.strerror}", f"choose a folder that can hold {size}; the same command goes on from here"
        ) from None
    return folder


def plan_images(classes: int, per_class: int) -> list[str]:
    """List the files of the set.

    >>> plan_images(2, 2)[:2]
    ['train/disc_plain/disc_plain-00000.png', 'test/disc_plain/disc_plain-00001.png']
    """
    training = min(round(FOR_TRAINING * per_class), per_class - 1)
    return [
        f"{'train' if index < training else 'test'}/{name}/{name}-{index:05d}.png"
        for name in CLASSES[:classes]
        for index in range(per_class)
    ]


def _write_image(path: Path, seed: int) -> None:
    name, _, index = path.stem.rpartition("-")
    with atomic_writer(path) as stream:
        Image.fromarray(render_image(seed, name, int(index))).save(stream, "PNG")
