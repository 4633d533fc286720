"""Smaller networks out of trained ones: prune, decompose, quantise, fit a budget, export.

Knows runs, their data, networks and budgets. Names are imported when first used.
"""

from typing import TYPE_CHECKING

__all__ = ["Candidate", "Compression", "Export", "FittedBudget", "compress", "demo", "export", "fit_budget"]

if TYPE_CHECKING:
    from asc_mrkd.compression.compressor import Candidate, Compression, FittedBudget, compress, fit_budget
    from asc_mrkd.compression.demonstration import demo
    from asc_mrkd.compression.exporter import Export, export
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Candidate": "asc_mrkd.compression.compressor",
            "Compression": "asc_mrkd.compression.compressor",
            "Export": "asc_mrkd.compression.exporter",
            "FittedBudget": "asc_mrkd.compression.compressor",
            "compress": "asc_mrkd.compression.compressor",
            "demo": "asc_mrkd.compression.demonstration",
            "export": "asc_mrkd.compression.exporter",
            "fit_budget": "asc_mrkd.compression.compressor",
        },
    )
