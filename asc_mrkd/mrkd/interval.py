"""A stretch of training: a number of steps, a share of the run, or a number of epochs."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

EXPECTED = 'write steps as 9775, a share of the run as 0.125, or epochs as "25 epochs"'

LONGEST = 10**9
"""Largest number of steps or epochs."""


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
            ValueError: the value is none of these, or could be read in two ways, as 1.0 can.
        """
        if isinstance(value, str):
            return cls(_parse_epochs(value), "epochs")
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= LONGEST:
            raise ValueError(EXPECTED)
        if value < 1:
            return cls(float(value), "run")
        if value == 1 and not isinstance(value, Integral):
            raise ValueError('write 1 for every step, or "1 epochs": 1.0 could also be the share of a whole run')
        if value != int(value):
            raise ValueError(EXPECTED)
        return cls(int(value), "steps")

    def in_steps(self, total_steps: int | None, steps_per_epoch: int | None) -> int:
        """Return the interval in optimiser steps, at least 1.

        Args:
            total_steps: steps of the run; a share needs it.
            steps_per_epoch: steps of an epoch; epochs need it.

        Raises:
            ValueError: the number that it needs is None.
        """
        if self.unit == "epochs":
            if steps_per_epoch is None:
                raise ValueError(f'"{self.amount:g} epochs" needs steps_per_epoch=')
            return max(1, round(self.amount * steps_per_epoch))
        if self.unit == "run":
            if total_steps is None:
                raise ValueError(f"{self.amount:g} is a share of the run, which needs total_steps=")
            return max(1, round(self.amount * total_steps))
        return int(self.amount)


def _parse_epochs(text: str) -> float:
    number, _, unit = text.strip().partition(" ")
    if unit.strip() not in ("epoch", "epochs"):
        raise ValueError(EXPECTED)
    try:
        epochs = float(number)
    except ValueError:
        raise ValueError(EXPECTED) from None
    if not 0 < epochs <= LONGEST:
        raise ValueError(EXPECTED)
    return epochs
