"""A part of a labelled set in which every class has its share."""

import numpy as np
import pandas as pd

from asc_mrkd.draws import generator
from asc_mrkd.errors import DataError


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw samples, as evenly over the classes as their numbers allow.

    No class gets more than one sample more than another, unless the other has no more. With the same labels and seed
    a smaller draw is a part of a larger one.

    Args:
        labels: (sample,) class names or indices.
        count: how many to draw.
        seed: another seed, other samples.

    Returns:
        Their positions (count,), sorted.

    Raises:
        DataError: there are fewer samples than that.

    >>> np.array(list("aabb"))[stratified(np.array(list("aabb")), 2, seed=0)].tolist()
    ['a', 'b']
    """
    if not 0 <= count <= len(labels):
        raise DataError(f"{count} samples cannot be drawn from {len(labels)}", f"choose at most {len(labels)}")
    order = generator("stratified", seed).permutation(len(labels))
    turn = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")[:count]])
