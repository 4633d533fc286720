"""The joined predictions and the mean log of the folds of a cross-validation, each of which is a run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.errors import AscMrkdError, RunError
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.runs import MetricsLog, RunFolder, read_metrics, read_predictions, write_predictions
from asc_mrkd.runs.predictions import Predictions


def join_folds(run: RunFolder, folds: int, seeds: Sequence[int]) -> None:
    """Write the predictions and the log of a cross-validation from those of its folds, for seeds that all have.

    The predictions are those of all clips, each by the network that was not trained with it. The log has the means
    over the folds.

    Raises:
        RunError: a file of a fold is damaged, or two folds have scored the same clip.
    """
    with exclusive_lock(run.path, RunError, wait=True):
        for seed in seeds:
            parts = [read_predictions(run.fold_run(fold).seed_folder(seed).predictions) for fold in range(1, folds + 1)]
            _write_if_changed(run, seed, parts)
    histories = [read_metrics(run.fold_run(fold).metrics_file) for fold in range(1, folds + 1)]
    history = pd.concat(histories, ignore_index=True)
    for seed in seeds:
        MetricsLog(run, seed, _mean_records(history[history["seed"] == seed]))


def _write_if_changed(run: RunFolder, seed: int, parts: Sequence[Predictions]) -> None:
    table = pd.concat([part.table for part in parts], ignore_index=True)
    if table["filename"].duplicated().any():
        raise RunError(f"{run}: two folds have scored the same clip", "remove the folder and train again")
    order = table["filename"].argsort(kind="stable").to_numpy()
    probabilities = np.concatenate([part.probabilities for part in parts])[order]
    clips = table[list(CLIP_COLUMNS)].iloc[order].reset_index(drop=True)
    file = run.seed_folder(seed).predictions
    try:
        before = read_predictions(file)
        if before.table[list(CLIP_COLUMNS)].equals(clips) and np.array_equal(before.probabilities, probabilities):
            return
    except AscMrkdError:
        pass  # it is missing or damaged
    write_predictions(file, clips, parts[0].classes, probabilities)


def _mean_records(history: pd.DataFrame) -> list[dict[str, float]]:
    """Return the means over the folds by epoch, without values that no fold has logged."""
    if "skipped_steps" in history:  # a fold logs it where it has skipped some
        history = history.fillna({"skipped_steps": 0})
    means = history.drop(columns="seed").groupby("epoch").mean()
    records = []
    for values in means.reset_index().to_dict("records"):
        record = {str(name): float(value) for name, value in values.items() if value == value}
        whole = {name: int(record[name]) for name in ("epoch", "epochs") if name in record}
        records.append(record | whole)
    return records
