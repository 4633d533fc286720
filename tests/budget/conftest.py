"""A network of a given size, and a budget as it is printed."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from torch import nn

from asc_mrkd.budget import Budget, budget_table


@pytest.fixture
def values() -> Callable[[int], nn.Module]:
    """Return a function that makes a network of so many values, none of them zero."""

    def network(count: int) -> nn.Module:
        layer = nn.Linear(count, 1, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    return network


@pytest.fixture
def printed() -> Callable[[Budget], str]:
    """Return a function that prints a budget at 80 columns."""

    def text(budget: Budget) -> str:
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(budget_table(budget))
        return console.export_text()

    return text
