"""Ramps of a loss weight over training."""

import math


def linear_ramp(final: float, done: float, total: float) -> float:
    """Return the weight that grows in proportion to the work done, and is `final` from `total` on.

    >>> [linear_ramp(0.8, epoch, 4) for epoch in (1, 2, 4, 5)]
    [0.2, 0.4, 0.8, 0.8]
    """
    return final * min(done, total) / total


def gaussian_ramp(final: float, done: float, total: float) -> float:
    """Return final * exp(-5 (1 - done / total)^2), and `final` from `total` on (Tarvainen and Valpola, 2017).

    >>> [round(gaussian_ramp(1.0, step, 4), 4) for step in (0, 2, 4, 5)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    if done >= total:
        return final
    return final * math.exp(-5 * (1 - done / total) ** 2)
