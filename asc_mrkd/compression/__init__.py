"""Smaller networks out of trained ones: prune, decompose, quantise, fit a budget.

Knows runs, their data, networks and budgets. Names are imported when first used.
"""

from typing import TYPE_CHECKING

__all__ = ["Candidate", "Compression", "FittedBudget", "compress", "fit_budget"]

if TYPE_CHECKING:
    from asc_mrkd.compression.compressor import Candidate, Compression, FittedBudget, compress, fit_budget
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Candidate": "asc_mrkd.compression.compressor",
            "Compression": "asc_mrkd.compression.compressor",
            "FittedBudget": "asc_mrkd.compression.compressor",
            "compress": "asc_mrkd.compression.compressor",
            "fit_budget": "asc_mrkd.compression.compressor",
        },
    )
