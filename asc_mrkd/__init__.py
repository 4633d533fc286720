"""asc_mrkd: acoustic scene classification trained with Memory-replay Knowledge Distillation."""

from asc_mrkd.lazy import lazy_names

__version__ = "0.1.0"

__all__ = ["MemoryReplay", "Predictor", "__version__", "build_model", "check_budget", "load_model"]

__getattr__ = lazy_names(
    __name__,
    {
        "MemoryReplay": "asc_mrkd.mrkd",
        "Predictor": "asc_mrkd.deploy",
        "build_model": "asc_mrkd.models",
        "check_budget": "asc_mrkd.budget",
        "load_model": "asc_mrkd.deploy.model_file",
    },
)
