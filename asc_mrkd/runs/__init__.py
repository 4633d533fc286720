"""The run folder of an experiment: its paths, seeds, predictions and log, read and written in one place.

It knows experiments and files, and works without torch.
"""

from asc_mrkd.runs.folder import RunFolder, SeedFolder, environment, find_model, find_scored_seeds
from asc_mrkd.runs.metrics_log import MetricsLog, is_log_whole, read_metrics
from asc_mrkd.runs.predictions import (
    Predictions,
    accuracy_and_log_loss,
    percentage,
    read_predictions,
    write_predictions,
)

__all__ = [
    "MetricsLog",
    "Predictions",
    "RunFolder",
    "SeedFolder",
    "accuracy_and_log_loss",
    "environment",
    "find_model",
    "find_scored_seeds",
    "is_log_whole",
    "percentage",
    "read_metrics",
    "read_predictions",
    "write_predictions",
]
