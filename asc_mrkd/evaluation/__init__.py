"""Scores of finished runs: metrics, tables by group, statistics over seeds, comparisons.

It knows run folders and their experiments; it draws and prints nothing, and works without torch.
"""

from asc_mrkd.evaluation.bootstrap import SMALL_TEST_SET, Bootstrap, cluster_bootstrap
from asc_mrkd.evaluation.comparison import (
    Comparison,
    ComparisonRow,
    compare,
    compare_summaries,
    conclusions,
    difference_text,
    interval_text,
    p_value_text,
)
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
from asc_mrkd.evaluation.statistics import (
    ConfidenceInterval,
    MeanTest,
    Spread,
    hedges_g,
    mean_std,
    paired_test,
    welch_test,
)
from asc_mrkd.evaluation.summary import RunSummary, evaluate

__all__ = [
    "SMALL_TEST_SET",
    "Bootstrap",
    "Comparison",
    "ComparisonRow",
    "ConfidenceInterval",
    "ConfusedPair",
    "MeanTest",
    "Metrics",
    "RunSummary",
    "Spread",
    "calibration_error",
    "clip_scores",
    "cluster_bootstrap",
    "compare",
    "compare_summaries",
    "conclusions",
    "confusion_matrix",
    "difference_text",
    "evaluate",
    "group_table",
    "hedges_g",
    "interval_text",
    "mean_std",
    "most_confused",
    "overall_metrics",
    "p_value_text",
    "paired_test",
    "top_k_error",
    "welch_test",
]
