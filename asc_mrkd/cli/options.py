"""Options and output that several verbs share."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Workers = Annotated[int | None, typer.Option(help="Number of worker processes.", min=1, show_default="all cores")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder (its lowest seed is taken), or a seed folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="data.store=DIR", help="Folder of the data, if they have moved; of images data.images=DIR."),
]
RuleName = Annotated[str, typer.Option(help="Rule of a challenge; check-budget --list-rules shows all.")]
Limits = Annotated[
    str | None,
    typer.Option("--limit", help="Your own limits instead of a rule, as in bytes=512000,ram=262144,macs=30e6."),
]
Ram = Annotated[str | None, typer.Option(help="Limit on the memory of the activations, as in 256KB (of 1024 bytes).")]
MaxBad = Annotated[
    float, typer.Option(help="Largest share of unusable clips; above it the exit code is 1.", min=0, max=1)
]

SEEDS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
"""A seed, or the first and the last of several."""

MOST_SEEDS = 1000
"""Largest number of seeds from a first to a last."""


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, indent=2, default=str))


def say_choice(run: Path) -> None:
    """Say on stderr which seed of a run folder is taken, its accuracy, and the alternatives."""
    from asc_mrkd.deploy import describe_choice

    choice = describe_choice(run)
    if choice:
        say(choice, err=True)


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
        written = SEEDS.fullmatch(part)
        if written is None:
            raise ConfigError(f"--seeds {text} is not a list of seeds", "write --seeds 0-3 or --seeds 0,2,5")
        first = int(written[1])
        last = int(written[2] or first)
        if not first <= last < first + MOST_SEEDS:
            raise ConfigError(f"--seeds {text} is not a list of seeds", "write --seeds 0-3 or --seeds 0,2,5")
        seeds.extend(range(first, last + 1))
    return list(dict.fromkeys(seeds))
