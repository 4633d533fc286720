"""Accuracy, log loss, calibration and confusions of scored clips or images; DCASE's definitions where it has them.

Most figures start from one table with a row per clip (`clip_scores`). An overall figure is the mean of a column, a
group figure is the mean over the rows of the group, so both use the same numbers. The errors that need all
probabilities of a clip, or all clips, are taken from the predictions of one seed.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import sklearn.metrics

from asc_mrkd.config.domain import SCENES, Kind
from asc_mrkd.runs.predictions import Predictions, log_losses

CLUSTER_COLUMN = {"scenes": "identifier", "images": "filename"}
"""What the samples of a kind have in common that are not independent: the recording location. Images stand alone."""


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


def clip_scores(predictions: Predictions, kind: Kind = SCENES) -> pd.DataFrame:
    """Score every clip: columns filename, label, groups of its kind, cluster, correct (0 or 1) and log_loss (nats).

    `cluster` names the recording location, or the sample itself where there is none.
    """
    table = predictions.table
    return pd.DataFrame(
        {
            "filename": table["filename"],
            "label": table["label"],
            **{name: group(table) for name, group in kind.groups.items()},
            "cluster": table[CLUSTER_COLUMN[kind.name]].where(lambda names: names != "", table["filename"]),
            "correct": (table["prediction"] == table["label"]).astype(np.float64),
            "log_loss": log_losses(predictions.probabilities, predictions.labels),
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
    """Clips, accuracy (0..1) and log loss (nats) of every value of `column`, the label or a group of the kind.

    >>> scores = pd.DataFrame({"city": ["lyon", "lyon", "oslo"], "correct": [1.0, 0, 1], "log_loss": [0.1, 0.9, 0.2]})
    >>> group_table(scores, "city").reset_index()
       city  clips  accuracy  log_loss
    0  lyon      2       0.5       0.5
    1  oslo      1       1.0       0.2
    """
    return scores.groupby(column).agg(
        clips=("correct", "size"), accuracy=("correct", "mean"), log_loss=("log_loss", "mean")
    )


def top_k_error(predictions: Predictions, k: int = 5) -> float:
    """Share of the samples whose true class is not among the `k` highest probabilities, 0..1.

    Of equal probabilities the one with the lower class index counts as the higher, as in a decision by argmax.
    """
    probabilities, labels = predictions.probabilities, predictions.labels[:, np.newaxis]
    true_probability = np.take_along_axis(probabilities, labels, axis=1)
    wins_tie = (probabilities == true_probability) & (np.arange(probabilities.shape[1]) < labels)
    ahead = ((probabilities > true_probability) | wins_tie).sum(axis=1)
    return float((ahead >= k).mean())


def calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Expected calibration error, 0..1 (C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eq. 3).

    The samples are put into `bins` bins of equal width by their confidence, the highest probability; a bin holds its
    upper edge. The error is the sum over the bins of n_bin / n * |accuracy - mean confidence|.
    """
    confidence = predictions.probabilities.max(axis=1)
    correct = predictions.table["prediction"] == predictions.table["label"]
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(bin_of, weights=correct - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


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
