"""The points of a sweep: every combination of the values that some keys of an experiment are to take."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote

from asc_mrkd.errors import ConfigError

KEPT_IN_NAMES = " =,.+-_[]{}:"
"""Characters of a value that stand in a folder's name as they are; of all others but letters and digits, the code."""

LONGEST_NAME = 200
"""Bytes of a folder's name, of which file systems allow 255; the end of a longer one becomes a digest."""

TOKENS = re.compile(r"""(?P<quoted>"(?:\\.|[^"\\])*"|'[^']*')|(?P<open>[\[{])|(?P<close>[\]}])|,""")
"""What decides whether a comma separates values."""


@dataclass(frozen=True)
class Point:
    """One combination.

    Attributes:
        values: the swept keys and what they are at this point, as typed.
        overrides: these and what is the same for all points, for `load_experiment`.
    """

    values: dict[str, str]
    overrides: list[str]

    @property
    def name(self) -> str:
        """What the point is called, and its folder.

        >>> Point({"method.interval": "25 epochs", "data.images": "a/b"}, []).name
        'method.interval=25 epochs,data.images=a%2Fb'
        """
        name = quote(",".join(f"{key}={value}" for key, value in self.values.items()), safe=KEPT_IN_NAMES)
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[:LONGEST_NAME]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def grid(overrides: Sequence[str]) -> list[Point]:
    """Return the product of all `key=a,b,...`, in the order given; `key=a` is the same for all points.

    Raises:
        ConfigError: no key has several values, or one that has is named twice, or a value is empty.

    >>> [point.overrides for point in grid(["train.epochs=3", "method.num_backups=1,2"])]
    [['train.epochs=3', 'method.num_backups=1'], ['train.epochs=3', 'method.num_backups=2']]
    """
    choices = [_choices(override) for override in overrides]
    keys = [key for key, _ in choices]
    swept = [key for key, values in choices if len(values) > 1]
    for key in swept:
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is given twice", f"write all its values at once: {key}=a,b,c")
    if "seeds" in swept:
        raise ConfigError("seeds are no values to sweep over: every point gets all of them", "write --seeds 0-3")
    if not swept:
        raise ConfigError("there is nothing to sweep over", "give a key several values: method.interval=0.05,0.125,0.5")
    return [
        Point(
            {key: value for key, value in zip(keys, values, strict=True) if key in swept},
            [f"{key}={value}" for key, value in zip(keys, values, strict=True)],
        )
        for values in product(*(values for _, values in choices))
    ]


def _choices(override: str) -> tuple[str, list[str]]:
    """Return the key and its distinct values."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"'{override}' has no value", "write key=value, or key=a,b,c to sweep over it")
    values = list(dict.fromkeys(values_of(text)))
    if len(values) > 1 and "" in values:
        raise ConfigError(f"'{override}' has an empty value", "write null for none, and no comma at the end")
    return key.strip(), values


def values_of(text: str) -> list[str]:
    """Cut a list at its commas, but not at those inside of brackets, braces or quotes.

    >>> values_of("0.05,[a, b],{name: mrkd, num_backups: 2},'x,y'")
    ['0.05', '[a, b]', '{name: mrkd, num_backups: 2}', "'x,y'"]
    """
    values, depth, start = [], 0, 0
    for token in TOKENS.finditer(text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif not token["quoted"] and depth == 0:
            values.append(text[start : token.start()])
            start = token.end()
    return [value.strip() for value in (*values, text[start:])]
