"""A stretch of training: a number of steps, a share of the run, or a number of epochs."""

import math
from dataclasses import dataclass
from typing import Literal

EXPECTED = 'write steps as 9775, a share of the run as 0.125, or epochs as "25 epochs"'


@dataclass(frozen=True)
class Interval:
    """An amount and its unit, from one of the three ways to write it.

    >>> Interval.parse("25 epochs")
    Interval(amount=25.0, unit='epochs')
    >>> [Interval.parse(value).in_steps(78_200, 391) for value in (9775, 0.125, "25 epochs", "2.5 epochs")]
    [9775, 9775, 9775, 978]
    """

    amount: float
    unit: Literal["steps", "run", "epochs"]
    """`run` means a share of the run."""

    @classmethod
    def parse(cls, value: int | float | str) -> "Interval":
        """Read 9775 as steps, 0.125 as a share of the run, "25 epochs" as epochs.

        Raises:
            ValueError: the value is none of these.
        """
        if isinstance(value, str):
            return cls(_parse_epochs(value), "epochs")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(EXPECTED)
        if value < 1:
            return cls(value, "run")
        if value != int(value):
            raise ValueError(EXPECTED)
        return cls(int(value), "steps")

    def in_steps(self, total_steps: int, steps_per_epoch: int) -> int:
        """Return the interval in optimiser steps, at least 1.

        Args:
            total_steps: steps of the run.
            steps_per_epoch: steps of an epoch.
        """
        if self.unit == "epochs":
            return max(1, round(self.amount * steps_per_epoch))
        if self.unit == "run":
            return max(1, round(self.amount * total_steps))
        return int(self.amount)


def _parse_epochs(text: str) -> float:
    number, _, unit = text.partition(" ")
    if unit not in ("epoch", "epochs"):
        raise ValueError(EXPECTED)
    try:
        epochs = float(number)
    except ValueError:
        raise ValueError(EXPECTED) from None
    if not 0 < epochs < math.inf:
        raise ValueError(EXPECTED)
    return epochs
