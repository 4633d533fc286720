"""Time lines: the class of every interval of a long recording."""

import math
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from asc_mrkd.deploy.inputs import Caution
from asc_mrkd.errors import ConfigError

EVERY = (0.01, 3600.0)
"""Shortest and longest interval of a time line (s)."""


@dataclass(frozen=True)
class Segment:
    """A part of a recording in which the same class is the most probable."""

    start: float
    """Start (s)."""
    end: float
    """End (s)."""
    name: str
    """The class."""
    probability: float
    """Mean of its probability."""


@dataclass(frozen=True)
class TimeLine:
    """Class probabilities over the time of one recording."""

    file: Path | None
    """The recording; None for an array."""
    classes: list[str]
    """Class names in the order of the probabilities."""
    starts: np.ndarray
    """Start of every interval (s)."""
    ends: np.ndarray
    """End of every interval (s)."""
    probabilities: np.ndarray
    """Class probabilities (interval, class) of the clips around the middle of the intervals."""
    embeddings: np.ndarray
    """Inputs of the classifier (interval, value), float32; without values unless they were asked for."""
    cautions: list[Caution] = field(default_factory=list)
    """Differences of the recording from those that the network was trained on."""

    def segments(self) -> list[Segment]:
        """Join intervals that follow each other and have the same most probable class."""
        best = self.probabilities.argmax(axis=1)
        segments = []
        for k, group in groupby(range(len(best)), key=lambda row: int(best[row])):
            rows = list(group)
            mean = float(self.probabilities[rows, k].mean())
            segments.append(Segment(float(self.starts[rows[0]]), float(self.ends[rows[-1]]), self.classes[k], mean))
        return segments


@dataclass(frozen=True)
class Intervals:
    """Intervals of a recording, and the clip that speaks for each of them."""

    starts: np.ndarray
    """Start of every interval (s)."""
    ends: np.ndarray
    """End of every interval (s)."""
    clips: np.ndarray
    """First sample of the clip around the middle of every interval."""


def divide(samples: int, rate: int, clip_samples: int, every: float) -> Intervals:
    """Divide a recording into intervals; the clip of each lies around its middle, and inside the recording.

    Args:
        samples: length of the recording; one that is shorter than a clip counts as one clip.
        rate: sample rate (Hz).
        clip_samples: length of a clip.
        every: length of an interval (s).

    Raises:
        ConfigError: the intervals are too short or too long.

    >>> divide(40, 10, 20, 1.0)
    Intervals(starts=array([0., 1., 2., 3.]), ends=array([1., 2., 3., 4.]), clips=array([ 0,  5, 15, 20]))
    """
    if not EVERY[0] <= every <= EVERY[1]:
        raise ConfigError(f"intervals of {every:g} s are not from {EVERY[0]:g} to {EVERY[1]:g} s", "--every 1")
    seconds = samples / rate
    starts = np.arange(math.ceil(round(seconds / every, 6))) * every
    ends = np.minimum(starts + every, seconds)
    first = np.rint((starts + ends) / 2 * rate - clip_samples / 2).astype(np.int64)
    return Intervals(starts, ends, np.clip(first, 0, max(0, samples - clip_samples)))
