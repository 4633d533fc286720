"""Training methods behind one base class, a file each, and the table of them.

Knows experiments, networks as modules, and the method of the paper; nothing of data, files or the loop.
"""

from typing import TYPE_CHECKING

from asc_mrkd.lazy import lazy_names
from asc_mrkd.methods.registry import (
    METHODS,
    MethodEntry,
    build_method,
    check_experiment,
    check_method,
    load_experiment,
    method_entry,
    method_title,
)

if TYPE_CHECKING:
    from asc_mrkd.methods.base import Method, TrainingContext

__all__ = [
    "METHODS",
    "Method",
    "MethodEntry",
    "TrainingContext",
    "build_method",
    "check_experiment",
    "check_method",
    "load_experiment",
    "method_entry",
    "method_title",
]

__getattr__, __dir__ = lazy_names(
    __name__, {"Method": "asc_mrkd.methods.base", "TrainingContext": "asc_mrkd.methods.base"}
)
