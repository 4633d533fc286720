"""Exact mean and deviation of the pixels of many images, and draws of samples that are even over the classes."""

import numpy as np
import pandas as pd

from asc_mrkd.errors import DataError
from asc_mrkd.rng import generator


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw samples, as evenly over the classes as their numbers allow.

    No class gets more than one sample more than another, unless the other has no more. With the same labels and seed
    a smaller draw is a part of a larger one.

    Args:
        labels: (sample,) class names or indices.
        count: number of samples to draw.
        seed: seed of the draw.

    Returns:
        Their positions (count,), sorted.

    Raises:
        DataError: there are fewer samples than `count`.

    >>> np.array(list("aabb"))[stratified(np.array(list("aabb")), 2, seed=0)].tolist()
    ['a', 'b']
    """
    if not 0 <= count <= len(labels):
        raise DataError(f"{count} samples cannot be drawn from {len(labels)}", f"choose at most {len(labels)}")
    order = generator("stratified", seed).permutation(len(labels))
    turn = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")[:count]])


_VALUES_PER_CHUNK = 2**22


def channel_statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel over all pixels of all images, in units of 0..255.

    The deviation is that of the population. Both are exact up to rounding: values are counted, and the sums over the
    counts are integers. A memory map is read in parts.

    Args:
        pixels: (image, channel, height, width) uint8.

    Returns:
        Two arrays (channel,) float64.

    Raises:
        DataError: there are no images.

    >>> mean, std = channel_statistics(np.array([[[[0, 255]]], [[[0, 255]]]], dtype=np.uint8))
    >>> mean.tolist(), std.tolist()
    ([127.5], [127.5])
    """
    if pixels.size == 0:
        raise DataError("there are no images to take mean and standard deviation of")
    counts = np.zeros((pixels.shape[1], 256), dtype=np.int64)
    step = max(1, _VALUES_PER_CHUNK // pixels[0].size)
    for start in range(0, len(pixels), step):
        chunk = pixels[start : start + step]
        counts += [np.bincount(chunk[:, channel].ravel(), minlength=256) for channel in range(pixels.shape[1])]
    values = np.arange(256)
    number = pixels[:, 0].size
    mean = counts @ values / number
    # In Python's integers, which do not overflow: number**2 times the variance.
    scatter = [number * int(row @ values**2) - int(row @ values) ** 2 for row in counts]
    return mean, np.sqrt([value / number**2 for value in scatter])
