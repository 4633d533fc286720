"""Networks by name."""

from asc_mrkd.models.registry import MODELS, build_model, parse_model_spec

__all__ = ["MODELS", "build_model", "parse_model_spec"]
