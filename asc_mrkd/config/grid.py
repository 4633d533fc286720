"""The points of a sweep: all combinations of several values for some keys of an experiment.

method.interval=0.05,0.5 method.num_backups=1,3     four points
model.options.blocks=[4,3,1],[4,4,4]                two points: commas in brackets or quotes do not separate
"""

import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote

from asc_mrkd.errors import ConfigError, list_of

KEPT_IN_NAMES = " =,.+-_[]{}" + ("" if os.name == "nt" else ":")
"""Characters that folder names keep besides letters and digits; Windows has no colon. Others are percent-encoded."""

LONGEST_NAME = 200
"""Longest folder name in bytes before its end becomes a digest; file systems allow 255."""

MOST_POINTS = 1000
"""Largest number of points."""

TOKENS = re.compile(r"""(?P<quoted>"(?:\\.|[^"\\])*"|'[^']*')|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)""")
"""Parts of a list of values: quoted text, brackets and braces, commas."""


@dataclass(frozen=True)
class Point:
    """One combination of values."""

    values: dict[str, str]
    """Swept keys and their values at this point, as typed."""
    overrides: list[str]
    """All overrides of this point for `load_experiment`: the swept keys and the fixed ones."""

    @property
    def name(self) -> str:
        """Name of the point and of its folder.

        >>> Point({"method.interval": "25 epochs", "data.images": "a/b"}, []).name
        'method.interval=25 epochs,data.images=a%2Fb'
        """
        values = ",".join(f"{key}={value}" for key, value in self.values.items())
        name = quote(values, safe=KEPT_IN_NAMES)
        if len(name) <= LONGEST_NAME:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()
        return f"{name[:LONGEST_NAME]}~{digest[:12]}"


def grid(overrides: Sequence[str]) -> list[Point]:
    """Return all combinations of the overrides `key=a,b,...`, in the order given; `key=a` is the same for all points.

    Raises:
        ConfigError: no key has several values, one that has several is named twice, a value is empty, or there are
            more than MOST_POINTS combinations.

    >>> [point.overrides for point in grid(["train.epochs=3", "method.num_backups=1,2"])]
    [['train.epochs=3', 'method.num_backups=1'], ['train.epochs=3', 'method.num_backups=2']]
    """
    parsed = [_parse_override(override) for override in list_of(overrides, "overrides")]
    keys = [key for key, _ in parsed]
    swept = [key for key, values in parsed if len(values) > 1]
    _require_sweepable(keys, swept)
    count = math.prod(len(values) for _, values in parsed)
    if count > MOST_POINTS:
        raise ConfigError(f"{count:,} combinations are more than {MOST_POINTS:,}", "sweep over fewer keys or values")
    points = []
    for combination in product(*(values for _, values in parsed)):
        pairs = list(zip(keys, combination, strict=True))
        values = {key: value for key, value in pairs if key in swept}
        points.append(Point(values, [f"{key}={value}" for key, value in pairs]))
    return points


def _require_sweepable(keys: list[str], swept: list[str]) -> None:
    if not swept:
        raise ConfigError("there is nothing to sweep over", "give a key several values: method.interval=0.05,0.125,0.5")
    for key in swept:
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is given twice", f"write all its values at once: {key}=a,b,c")
    if "seeds" in swept:
        raise ConfigError("seeds cannot be swept over: every point gets all of them", "write --seeds 0-3")


def _parse_override(override: str) -> tuple[str, list[str]]:
    """Return the key of `key=a,b,...` and its distinct values."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"'{override}' has no value", "write key=value, or key=a,b,c to sweep over it")
    values = list(dict.fromkeys(split_values(text)))
    if len(values) > 1 and "" in values:
        raise ConfigError(f"'{override}' has an empty value", "write null for none, and no comma at the end")
    return key, values


def split_values(text: str) -> list[str]:
    """Split a list at its commas, except those in brackets, braces or quotes.

    >>> split_values("0.05,[a, b],{name: mrkd, num_backups: 2},'x,y'")
    ['0.05', '[a, b]', '{name: mrkd, num_backups: 2}', "'x,y'"]
    """
    values = []
    start = 0
    depth = 0
    for token in TOKENS.finditer(text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["comma"] and depth == 0:
            values.append(text[start : token.start()])
            start = token.end()
    values.append(text[start:])
    return [value.strip() for value in values]
