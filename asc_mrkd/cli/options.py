"""Options and output that several verbs share."""

import json
from typing import Annotated, Any

import typer

from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Workers = Annotated[int | None, typer.Option(help="Number of worker processes.", min=1, show_default="all cores")]
MaxBad = Annotated[float, typer.Option(help="Share of unusable clips above which the check fails.", min=0, max=1)]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, indent=2, default=str))


def parse_seeds(text: str) -> list[int]:
    """Read a list of seeds.

    Raises:
        ConfigError: the text is not a list of seeds.

    >>> parse_seeds("0-3")
    [0, 1, 2, 3]
    >>> parse_seeds("1,5")
    [1, 5]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if not first.isdigit() or not last.isdigit() or int(last) < int(first):
            raise ConfigError(f"--seeds {text} is not a list of seeds", "write --seeds 0-3 or --seeds 0,2,5")
        seeds.extend(range(int(first), int(last) + 1))
    return list(dict.fromkeys(seeds))
