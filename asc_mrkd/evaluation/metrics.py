"""Accuracy, log loss, calibration and confusions of scored clips or images; DCASE's definitions where it has them.

Most figures start from one table with a row per clip (`clip_scores`). An overall figure is the mean of a column, a
group figure is the mean over the rows of the group, so both use the same numbers. The errors that need all
probabilities of a clip, or all clips, are computed from the predictions of one seed.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import SCENES, Domain
from asc_mrkd.runs.predictions import Predictions, log_losses


@dataclass(frozen=True)
class Metrics:
    """Overall figures of one network."""

    accuracy: float
    """Micro accuracy: correct clips / all clips, 0..1."""
    macro_accuracy: float
    """Mean of the accuracies of the classes, 0..1 (the ranking figure of DCASE 2018 and 2020)."""
    log_loss: float
    """Mean of -ln p(true class) over all clips, in nats."""


@dataclass(frozen=True)
class ConfusedPair:
    """Number of clips of one class that were taken for another."""

    true: str
    """True class."""
    predicted: str
    """Class that was predicted instead."""
    clips: int
    """Number of such clips."""
    share: float
    """Fraction of the clips of the true class, 0..1."""


def clip_scores(predictions: Predictions, domain: Domain = SCENES) -> pd.DataFrame:
    """Score every clip: columns filename, label, the groups of the domain, cluster, correct (0 or 1), log_loss (nats).

    `cluster` names the recording location or the group of own recordings, or the sample itself where it has neither.
    """
    table = predictions.table
    groups = {name: group(table) for name, group in domain.groups.items()}
    cluster = table[domain.cluster_column]
    return pd.DataFrame(
        {
            "filename": table["filename"],
            "label": table["label"],
            **groups,
            "cluster": cluster.where(cluster != "", table["filename"]),
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
    """Tabulate clips, accuracy (0..1) and log loss (nats) of every value of `column`, the label or a group.

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
    """Return the share of the samples whose true class is not among the `k` highest probabilities, 0..1.

    Of equal probabilities the one with the lower class index counts as the higher, as in a decision by argmax.
    """
    probabilities = predictions.probabilities
    labels = predictions.labels[:, np.newaxis]
    true_probability = np.take_along_axis(probabilities, labels, axis=1)
    wins_tie = (probabilities == true_probability) & (np.arange(probabilities.shape[1]) < labels)
    classes_ahead = ((probabilities > true_probability) | wins_tie).sum(axis=1)
    return float((classes_ahead >= k).mean())


def calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Return the expected calibration error, 0..1.

    The samples are put into `bins` bins of equal width by their confidence, the highest probability; a bin holds its
    upper edge. The error is the sum over the bins of n_bin / n * |accuracy - mean confidence| (C. Guo et al., On
    Calibration of Modern Neural Networks, ICML 2017, Eq. 3).
    """
    confidence = predictions.probabilities.max(axis=1)
    correct = predictions.table["prediction"] == predictions.table["label"]
    bin_index = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = np.bincount(bin_index, weights=correct - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Count clips: (class, class) integers, rows are the true class, columns the predicted one."""
    classes = predictions.classes
    predicted = np.searchsorted(classes, predictions.table["prediction"].to_numpy(dtype=str))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (predictions.labels, predicted), 1)
    return counts


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
