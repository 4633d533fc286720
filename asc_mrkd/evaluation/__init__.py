"""Scores of finished runs: metrics, group tables, statistics over seeds. Floor: errors, files and config only."""

from asc_mrkd.config.domain import IMAGES, SCENES, Kind
from asc_mrkd.evaluation.bootstrap import SMALL_TEST_SET, Bootstrap, cluster_bootstrap
from asc_mrkd.evaluation.comparison import ComparisonRow, compare, conclusions, p_text
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
from asc_mrkd.evaluation.statistics import Interval, MeanTest, Spread, hedges_g, mean_std, paired_test, welch_test
from asc_mrkd.evaluation.summary import RunSummary, summarise_run

__all__ = [
    "IMAGES",
    "SCENES",
    "SMALL_TEST_SET",
    "Bootstrap",
    "ComparisonRow",
    "ConfusedPair",
    "Interval",
    "Kind",
    "MeanTest",
    "Metrics",
    "RunSummary",
    "Spread",
    "calibration_error",
    "clip_scores",
    "cluster_bootstrap",
    "compare",
    "conclusions",
    "confusion_matrix",
    "group_table",
    "hedges_g",
    "mean_std",
    "most_confused",
    "overall_metrics",
    "p_text",
    "paired_test",
    "summarise_run",
    "top_k_error",
    "welch_test",
]
