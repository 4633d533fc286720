"""Training of an experiment at every combination of some values."""

import os
from collections.abc import Sequence

from asc_mrkd.config import Experiment
from asc_mrkd.config.grid import Point, grid
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import load_experiment


def load_points(path: str | os.PathLike[str], overrides: Sequence[str]) -> list[tuple[Point, Experiment]]:
    """Read an experiment at every point of `grid`.

    Raises:
        ConfigError: as from `grid` and `load_experiment`, naming the point; or two points are the same experiment.
    """
    points: list[tuple[Point, Experiment]] = []
    for point in grid(overrides):
        try:
            experiment = load_experiment(path, point.overrides)
        except ConfigError as error:
            raise ConfigError(f"point {point.name}: {error}", error.hint) from None
        for other, theirs in points:
            if theirs == experiment:
                raise ConfigError(
                    f"{other.name} and {point.name} are the same experiment",
                    "give every value once, and a section before its keys: method=mrkd method.interval=0.05,0.5",
                )
        points.append((point, experiment))
    return points
