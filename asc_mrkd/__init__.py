"""asc_mrkd: acoustic scene classification trained with Memory-replay Knowledge Distillation.

Public names are imported when they are first used, so that `import asc_mrkd` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "MemoryReplay": "asc_mrkd.mrkd",
    "build_model": "asc_mrkd.models",
    "load_model": "asc_mrkd.engine.model_file",
    "Predictor": "asc_mrkd.deploy",
    "check_budget": "asc_mrkd.complexity",
}

__all__ = ["MemoryReplay", "Predictor", "__version__", "build_model", "check_budget", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'asc_mrkd' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
