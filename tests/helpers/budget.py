"""A network of a given size, and a verdict as it is printed."""

import io

from rich.console import Console
from torch import nn

from asc_mrkd.budget import Verdict, verdict_table


def network_of_ones(count: int) -> nn.Module:
    """Return a network of `count` values, all of them one."""
    layer = nn.Linear(count, 1, bias=False)
    nn.init.ones_(layer.weight)
    return layer


def print_verdict(verdict: Verdict) -> str:
    """Return the text of a verdict on a screen of 80 columns."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(verdict_table(verdict))
    return console.export_text()
