"""Complexity budgets: the rules of the challenges, the count of a network, and the verdict."""

from asc_mrkd.complexity.budget import Budget, check_budget
from asc_mrkd.complexity.count import LayerCount, Tally, count_layers
from asc_mrkd.complexity.rules import PRECISIONS, RULES, Rule
from asc_mrkd.complexity.sizes import format_bytes
from asc_mrkd.complexity.table import budget_record, budget_table

__all__ = [
    "PRECISIONS",
    "RULES",
    "Budget",
    "LayerCount",
    "Rule",
    "Tally",
    "budget_record",
    "budget_table",
    "check_budget",
    "count_layers",
    "format_bytes",
]
