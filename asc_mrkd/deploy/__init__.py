"""Trained networks at work."""

from asc_mrkd.deploy.predictor import Predictor

__all__ = ["Predictor"]
