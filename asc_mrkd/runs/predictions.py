"""The predictions file of one seed: read, checked, ready to be scored."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asc_mrkd.errors import RunError

CLIP_COLUMNS = ["filename", "label", "identifier", "source_label"]
"""What is known about a test clip, the same for every seed."""

TEXT_COLUMNS = [*CLIP_COLUMNS, "prediction"]
"""The columns before the probabilities; the rest of the header are the classes in alphabetical order."""

SUM_TOLERANCE = 1e-3
"""How far the probabilities of a clip may be from adding up to one (softmax in low precision, rounded decimals)."""


@dataclass(frozen=True)
class Predictions:
    """What one trained network says about the M classes of N test clips, sorted by file name.

    Attributes:
        table: N rows of TEXT_COLUMNS.
        classes: the M class names in alphabetical order.
        labels: (N,) index into `classes` of the true class.
        probabilities: (N, M) float64, rows add up to one within SUM_TOLERANCE.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read `seedK/predictions.csv`.

    Raises:
        RunError: the file is missing, cut off, or a row of it makes no sense.
    """
    table = _read_csv(path)
    classes = tuple(table.columns[len(TEXT_COLUMNS) :])
    _check_header(table, classes, path)
    try:
        probabilities = table[list(classes)].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise _damaged(path, f"a probability is not a number ({error})") from None
    _check_rows(table, classes, probabilities, path)
    labels = np.searchsorted(classes, table["label"].to_numpy(dtype=str))
    return Predictions(table[TEXT_COLUMNS], classes, labels, probabilities)


def _read_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    text = dict.fromkeys(TEXT_COLUMNS, "str")
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False)
    except OSError as error:
        hint = "the engine writes it after the last epoch: continue with the same `asc-mrkd train` command"
        raise RunError(f"{path}: {error.strerror}", hint) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    if "filename" not in table:
        raise _damaged(path, "there is no column 'filename'")
    return table.sort_values("filename", ignore_index=True)


def _check_header(table: pd.DataFrame, classes: tuple[str, ...], path: str | os.PathLike[str]) -> None:
    if list(table.columns[: len(TEXT_COLUMNS)]) != TEXT_COLUMNS:
        raise _damaged(path, f"the header must start with {','.join(TEXT_COLUMNS)}")
    if len(classes) < 2 or list(classes) != sorted(classes):
        raise _damaged(path, "after 'prediction' there must be one column per class in alphabetical order")
    if table.empty:
        raise _damaged(path, "there is no clip in it")


def _check_rows(
    table: pd.DataFrame, classes: tuple[str, ...], probabilities: np.ndarray, path: str | os.PathLike[str]
) -> None:
    # One entry per rule: which rows break it, and what to say about the first of them.
    rules = [
        (table["filename"].duplicated(), "is scored twice"),
        (~table["label"].isin(classes), "has a label that is not among the classes"),
        (~table["prediction"].isin(classes), "has a prediction that is not among the classes"),
        (~((probabilities >= 0) & (probabilities <= 1)).all(axis=1), "has a probability outside 0..1"),
        (np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE, "has probabilities that do not add up to one"),
    ]
    for broken, complaint in rules:
        if np.any(broken):
            raise _damaged(path, f"clip '{table['filename'][int(np.argmax(broken))]}' {complaint}")


def _damaged(path: str | os.PathLike[str], what: str) -> RunError:
    hint = "delete the file and repeat the same `asc-mrkd train` command: it scores the test clips again"
    return RunError(f"{path}: {what}", hint)
