"""Training methods behind one interface."""

from asc_mrkd.methods.base import Method, Run
from asc_mrkd.methods.registry import METHODS, MethodEntry, build_method

__all__ = ["METHODS", "Method", "MethodEntry", "Run", "build_method"]
