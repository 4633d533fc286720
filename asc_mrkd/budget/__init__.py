"""Complexity budgets: the rules of the challenges, the count of a network, and the verdict.

Knows networks, model files and run folders; knows nothing of data and training.
"""

from asc_mrkd.budget.count import LayerCount, Tally, count_layers, count_multiply_adds
from asc_mrkd.budget.model_source import NetworkSize, network_sizes, resolve_model
from asc_mrkd.budget.rules import PRECISIONS, RULES, Rule, exact_size, find_rule
from asc_mrkd.budget.table import verdict_record, verdict_table
from asc_mrkd.budget.verdict import Verdict, check_budget, sum_verdicts

__all__ = [
    "PRECISIONS",
    "RULES",
    "LayerCount",
    "NetworkSize",
    "Rule",
    "Tally",
    "Verdict",
    "check_budget",
    "count_layers",
    "count_multiply_adds",
    "exact_size",
    "find_rule",
    "network_sizes",
    "resolve_model",
    "sum_verdicts",
    "verdict_record",
    "verdict_table",
]
