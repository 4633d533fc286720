"""Options and output that several verbs share."""

import json
from typing import Annotated, Any

import typer

from asc_mrkd.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Workers = Annotated[int, typer.Option(help="Processes.", min=1)]
MaxBad = Annotated[float, typer.Option(help="Share of unusable clips above which the answer is no.", min=0, max=1)]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, default=str))


def parse_seeds(text: str) -> list[int]:
    """Read a list of seeds.

    >>> parse_seeds("0-3")
    [0, 1, 2, 3]
    >>> parse_seeds("1,5")
    [1, 5]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
            raise ConfigError(f"--seeds {text} is no list of seeds", "write --seeds 0-3 or --seeds 0,2,5")
        seeds += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(seeds))
