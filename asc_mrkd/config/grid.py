"""The points of a sweep: every combination of the values that some keys of an experiment are to take."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote

from asc_mrkd.errors import ConfigError

KEPT_IN_NAMES = " =,.+-_[]{}:"
"""Characters of a value that stand in a folder's name as they are; of all others but letters and digits, the code."""


@dataclass(frozen=True)
class Point:
    """One combination.

    Attributes:
        values: the swept keys and what they are at this point, as typed.
        overrides: these and what is the same for all points, as `load_experiment` takes them.
    """

    values: dict[str, str]
    overrides: list[str]

    @property
    def name(self) -> str:
        """What the point is called, and its folder.

        >>> Point({"method.interval": "25 epochs", "data.images": "a/b"}, []).name
        'method.interval=25 epochs,data.images=a%2Fb'
        """
        return quote(",".join(f"{key}={value}" for key, value in self.values.items()), safe=KEPT_IN_NAMES)


def grid(overrides: Sequence[str]) -> list[Point]:
    """Return the product of all `key=a,b,...`, in the order given; `key=a` is the same for all points.

    Raises:
        ConfigError: no key has several values, or one is named twice.

    >>> [point.overrides for point in grid(["train.epochs=3", "method.copies=1,2"])]
    [['train.epochs=3', 'method.copies=1'], ['train.epochs=3', 'method.copies=2']]
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{override}' has no value", "write key=value, or key=a,b,c to sweep over it")
        if key in choices:
            raise ConfigError(f"{key} is given twice", f"write all its values at once: {key}=a,b,c")
        choices[key] = list(dict.fromkeys(values_of(text)))
    swept = [key for key, values in choices.items() if len(values) > 1]
    if not swept:
        raise ConfigError("there is nothing to sweep over", "give a key several values: method.interval=0.05,0.125,0.5")
    return [
        Point({key: value for key, value in zip(choices, values, strict=True) if key in swept},
              [f"{key}={value}" for key, value in zip(choices, values, strict=True)])
        for values in product(*choices.values())
    ]  # fmt: skip


def values_of(text: str) -> list[str]:
    """Cut a list at its commas, but not at those inside of brackets, braces or quotes.

    >>> values_of("0.05,[a, b],{name: mrkd, copies: 2},'x,y'")
    ['0.05', '[a, b]', '{name: mrkd, copies: 2}', "'x,y'"]
    """
    values, depth, quoted, start = [], 0, "", 0
    for match in re.finditer(r"[\[\]{}'\",]", text):
        character = match.group()
        if quoted or character in "'\"":
            quoted = "" if character == quoted else quoted or character
        elif character == ",":
            if depth == 0:
                values.append(text[start : match.start()])
                start = match.end()
        else:
            depth += 1 if character in "[{" else -1
    return [value.strip() for value in (*values, text[start:])]
