"""Training methods behind one interface."""

from asc_mrkd.methods.base import Method, Run
from asc_mrkd.methods.registry import build_method

__all__ = ["Method", "Run", "build_method"]
