"""Accuracy, log loss and confusions of scored clips, defined as in the DCASE challenge.

Everything starts from one table with a row per clip (`clip_scores`). An overall figure is the mean of a column, a group
figure is the mean over the rows of the group, so both use the same numbers.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import sklearn.metrics

from asc_mrkd.evaluation.predictions import Predictions

EPS = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to [EPS, 1 - EPS] before the logarithm: the worst clip costs 36.04 nats."""

DEVICE_GROUPS = {
    **dict.fromkeys(("a", "b", "c"), "real"),
    **dict.fromkeys(("s1", "s2", "s3"), "seen"),
    **dict.fromkeys(("s4", "s5", "s6"), "unseen"),
}
"""Devices of TAU Urban Acoustic Scenes Mobile: real ones, simulated and seen in training, simulated and unseen."""


@dataclass(frozen=True)
class Metrics:
    """The three figures of a run: fractions in 0..1, and nats."""

    accuracy: float
    """Micro accuracy: correct clips / all clips."""
    macro_accuracy: float
    """Mean of the accuracies of the classes (the ranking figure of DCASE 2018 and 2020)."""
    log_loss: float
    """Mean of -ln p(true class) over all clips."""


@dataclass(frozen=True)
class ConfusedPair:
    """How often clips of one class were taken for another."""

    true: str
    predicted: str
    clips: int
    share: float
    """Fraction of the clips of the true class."""


def clip_scores(predictions: Predictions) -> pd.DataFrame:
    """Score every clip: columns filename, label, city, device, device_group, correct (0 or 1), log_loss (nats)."""
    table = predictions.table
    true_probability = predictions.probabilities[np.arange(len(table)), predictions.labels]
    return pd.DataFrame(
        {
            "filename": table["filename"],
            "label": table["label"],
            "city": table["identifier"].str.rsplit("-", n=1).str[0],
            "device": table["source_label"],
            "device_group": table["source_label"].map(DEVICE_GROUPS).fillna("other"),
            "correct": (table["prediction"] == table["label"]).astype(np.float64),
            # Not scikit-learn's log_loss: whether that one clips and renormalises depends on its version.
            "log_loss": -np.log(np.clip(true_probability, EPS, 1 - EPS)),
        }
    )


def overall_metrics(scores: pd.DataFrame) -> Metrics:
    """Average the table of `clip_scores` over all clips (macro accuracy: over the classes that have clips)."""
    return Metrics(
        accuracy=float(scores["correct"].mean()),
        macro_accuracy=float(group_table(scores, "label")["accuracy"].mean()),
        log_loss=float(scores["log_loss"].mean()),
    )


def group_table(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Clips, accuracy (0..1) and log loss (nats) of every value of `column`: label, city, device or device_group.

    >>> scores = pd.DataFrame({"city": ["lyon", "lyon", "oslo"], "correct": [1.0, 0, 1], "log_loss": [0.1, 0.9, 0.2]})
    >>> group_table(scores, "city").reset_index()
       city  clips  accuracy  log_loss
    0  lyon      2       0.5       0.5
    1  oslo      1       1.0       0.2
    """
    return scores.groupby(column).agg(
        clips=("correct", "size"), accuracy=("correct", "mean"), log_loss=("log_loss", "mean")
    )


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Count clips: (M, M) integers, rows are the true class, columns the predicted one."""
    table = predictions.table
    return sklearn.metrics.confusion_matrix(table["label"], table["prediction"], labels=list(predictions.classes))


def most_confused(confusion: np.ndarray, classes: tuple[str, ...], top: int = 5) -> list[ConfusedPair]:
    """List the pairs of classes with the most wrong clips, the worst first.

    >>> most_confused(np.array([[8, 2], [0, 5]]), ("bus", "tram"))
    [ConfusedPair(true='bus', predicted='tram', clips=2, share=0.2)]
    """
    pairs = [
        ConfusedPair(classes[row], classes[column], int(clips), float(clips / confusion[row].sum()))
        for (row, column), clips in np.ndenumerate(confusion)
        if row != column and clips > 0
    ]
    return sorted(pairs, key=lambda pair: -pair.clips)[:top]
