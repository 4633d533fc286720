"""Complexity budgets: the rules of the challenges, the count of a network, and the verdict."""

from asc_mrkd.budget.count import LayerCount, Tally, count_layers
from asc_mrkd.budget.rules import PRECISIONS, RULES, Rule
from asc_mrkd.budget.table import budget_record, budget_table, exact_size
from asc_mrkd.budget.verdict import Budget, check_budget

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
    "exact_size",
]
