"""Scores of finished runs: metrics, group tables, statistics over seeds. Floor: errors, files and config only."""

from asc_mrkd.evaluation.comparison import ComparisonRow, compare, conclusions, p_text
from asc_mrkd.evaluation.kinds import IMAGES, SCENES, Kind
from asc_mrkd.evaluation.metrics import (
    ConfusedPair,
    Metrics,
    calibration_error,
    clip_scores,
    confusion_matrix,
    group_table,
    most_confused,
    overall_metrics,
    top_k_error,
)
from asc_mrkd.evaluation.predictions import Predictions, read_predictions
from asc_mrkd.evaluation.statistics import Spread, WelchTest, mean_std, welch_test
from asc_mrkd.evaluation.summary import RunSummary, read_metrics, summarise_run

__all__ = [
    "IMAGES",
    "SCENES",
    "ComparisonRow",
    "ConfusedPair",
    "Kind",
    "Metrics",
    "Predictions",
    "RunSummary",
    "Spread",
    "WelchTest",
    "calibration_error",
    "clip_scores",
    "compare",
    "conclusions",
    "confusion_matrix",
    "group_table",
    "mean_std",
    "most_confused",
    "overall_metrics",
    "p_text",
    "read_metrics",
    "read_predictions",
    "summarise_run",
    "top_k_error",
    "welch_test",
]
