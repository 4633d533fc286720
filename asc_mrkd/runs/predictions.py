"""The predictions of one seed, predictions.csv: written after the last epoch, read, checked, ready to be scored.

The checksum of the file lies next to it in predictions.csv.sha256, in the format of `sha256sum`, so that every program
reads the table. A table without that file (made by hand, or by an earlier version) is checked row by row.
"""

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import TEXT_COLUMNS
from asc_mrkd.errors import RunError
from asc_mrkd.files import checksum_file, has_its_checksum, write_checksum, write_text

SUM_TOLERANCE = 1e-3
"""Largest distance of the sum of a clip's probabilities from one (softmax in low precision, rounded decimals)."""

EPS = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to [EPS, 1 - EPS] before the logarithm: the worst clip costs 36.04 nats."""


@dataclass(frozen=True)
class Predictions:
    """The answers of one trained network for N test clips and M classes, sorted by file name."""

    table: pd.DataFrame
    """TEXT_COLUMNS of the N clips."""
    classes: tuple[str, ...]
    """The M class names in alphabetical order."""
    labels: np.ndarray
    """True classes (clip,), as indices into `classes`."""
    probabilities: np.ndarray
    """Class probabilities (clip, class), float64; a row adds up to one within SUM_TOLERANCE."""


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -ln p(true class) in nats (clip,) from probabilities (clip, class) and class indices (clip,).

    The definition is written out here because whether scikit-learn's log_loss clips depends on its version.

    >>> log_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1])).round(2)
    array([ 0.69, 36.04])
    """
    of_true_class = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(of_true_class, EPS, 1 - EPS))


def accuracy_and_log_loss(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the share of right decisions, 0..1, and the mean log loss in nats.

    >>> accuracy_and_log_loss(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    (0.5, 0.6931471805599453)
    """
    accuracy = (probabilities.argmax(axis=1) == labels).mean()
    return float(accuracy), float(log_losses(probabilities, labels).mean())


def percentage(fraction: float) -> float:
    """Return a fraction in percent or percentage points, rounded to two decimals, halves away from zero.

    Every table and sentence takes this one, so that a figure is the same number wherever it stands. Digits that
    the order of a sum decides are dropped first: 0.08125 and 0.08124999999999999 are the same.

    >>> percentage(-0.08125), percentage(0.08124999999999999), percentage(-0.00001)
    (-8.13, 8.13, 0.0)
    """
    if not math.isfinite(fraction):
        return fraction
    points = Decimal(f"{100 * fraction:.9f}").quantize(Decimal("0.01"), ROUND_HALF_UP)
    return float(points) + 0.0  # no negative zero


def write_predictions(
    path: str | os.PathLike[str], table: pd.DataFrame, classes: Sequence[str], probabilities: np.ndarray
) -> None:
    """Write `seedK/predictions.csv`, whole or not at all, and its checksum.

    Args:
        path: the file.
        table: CLIP_COLUMNS of the clips, with a fresh index 0, 1, 2, ...
        classes: class names in alphabetical order.
        probabilities: class probabilities (clip, class).
    """
    decided = table.assign(prediction=[classes[index] for index in probabilities.argmax(axis=1)])
    columns = pd.DataFrame(probabilities, columns=list(classes))
    text = pd.concat([decided, columns], axis=1).to_csv(index=False, lineterminator="\n")
    path = Path(path)
    write_checksum(path, text.encode())  # first: with the table a seed is finished, so that nothing is written later
    write_text(path, text)


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read `seedK/predictions.csv`.

    Raises:
        RunError: the file is missing, is not as it was written, or one of its rows is not valid.
    """
    path = Path(path)
    table = _read_table(path)
    classes = tuple(table.columns[len(TEXT_COLUMNS) :])
    _require_valid_header(table, classes, path)
    try:
        probabilities = table[list(classes)].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise _damaged(path, f"a probability is not a number ({error})") from None
    _require_valid_rows(table, classes, probabilities, path)
    labels = np.searchsorted(classes, table["label"].to_numpy(dtype=str))
    return Predictions(table[TEXT_COLUMNS], classes, labels, probabilities)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "training writes it after the last epoch: continue with the same `asc-mrkd train` command"
        raise RunError(f"{path}: {error.strerror}", hint) from None
    if not has_its_checksum(path):
        raise _damaged(path, f"it is not as it was written: {checksum_file(path).name} has another checksum")
    try:
        columns = dict.fromkeys(TEXT_COLUMNS, "str")
        table = pd.read_csv(io.BytesIO(content), dtype=columns, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    if "filename" not in table:
        raise _damaged(path, "there is no column 'filename'")
    return table.sort_values("filename", ignore_index=True)


def _require_valid_header(table: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    if list(table.columns[: len(TEXT_COLUMNS)]) != TEXT_COLUMNS:
        raise _damaged(path, f"the header must start with {','.join(TEXT_COLUMNS)}")
    if len(classes) < 2 or list(classes) != sorted(classes):
        raise _damaged(path, "after 'prediction' there must be one column per class in alphabetical order")
    if table.empty:
        raise _damaged(path, "there is no clip in it")


def _require_valid_rows(table: pd.DataFrame, classes: tuple[str, ...], probabilities: np.ndarray, path: Path) -> None:
    # One entry per rule: the rows that break it, and the complaint about the first of them.
    rules = [
        (table["filename"].duplicated(), "is scored twice"),
        (~table["label"].isin(classes), "has a label that is not among the classes"),
        (~table["prediction"].isin(classes), "has a prediction that is not among the classes"),
        (~((probabilities >= 0) & (probabilities <= 1)).all(axis=1), "has a probability outside 0..1"),
        (np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE, "has probabilities that do not add up to one"),
        (_is_not_likeliest(table, classes, probabilities), "has a prediction that is not its most probable class"),
    ]
    for broken, complaint in rules:
        if np.any(broken):
            raise _damaged(path, f"clip '{table['filename'][int(np.argmax(broken))]}' {complaint}")


def _is_not_likeliest(table: pd.DataFrame, classes: tuple[str, ...], probabilities: np.ndarray) -> np.ndarray:
    """Return whether another class than the prediction has a higher probability, (clip,)."""
    predicted = np.clip(np.searchsorted(classes, table["prediction"].to_numpy(dtype=str)), 0, len(classes) - 1)
    return probabilities[np.arange(len(table)), predicted] < probabilities.max(axis=1)


def _damaged(path: Path, complaint: str) -> RunError:
    hint = "repeat the same `asc-mrkd train` command: it scores the test clips again"
    return RunError(f"{path}: {complaint}", hint)
