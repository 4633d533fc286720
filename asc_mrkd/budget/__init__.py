"""Complexity budgets: the rules of the challenges, the count of a network, and the verdict.

Knows networks, model files and run folders; knows nothing of data and training.
"""

from asc_mrkd.budget.chips import CHIPS, Chip, Fit, fits_of
from asc_mrkd.budget.count import LayerCount, Tally, count_layers, count_multiply_adds
from asc_mrkd.budget.memory import LayerMemory, Memory
from asc_mrkd.budget.model_source import NetworkSize, network_sizes, resolve_model
from asc_mrkd.budget.rules import (
    PRECISIONS,
    RULES,
    Rule,
    choose_rule,
    exact_size,
    find_rule,
    parse_limits,
    parse_memory,
)
from asc_mrkd.budget.table import verdict_record, verdict_table
from asc_mrkd.budget.verdict import Verdict, check_budget, sum_verdicts

__all__ = [
    "CHIPS",
    "PRECISIONS",
    "RULES",
    "Chip",
    "Fit",
    "LayerCount",
    "LayerMemory",
    "Memory",
    "NetworkSize",
    "Rule",
    "Tally",
    "Verdict",
    "check_budget",
    "choose_rule",
    "count_layers",
    "count_multiply_adds",
    "exact_size",
    "find_rule",
    "fits_of",
    "network_sizes",
    "parse_limits",
    "parse_memory",
    "resolve_model",
    "sum_verdicts",
    "verdict_record",
    "verdict_table",
]
