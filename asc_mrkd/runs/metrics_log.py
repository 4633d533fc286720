"""The log of a run, metrics.jsonl: one JSON object per seed and epoch, appended while training and read as a table."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from asc_mrkd.errors import RunError
from asc_mrkd.files import exclusive_lock, write_text
from asc_mrkd.runs.folder import RunFolder

HISTORY_COLUMNS = ["seed", "epoch", "loss", "ce", "train_accuracy", "test_accuracy", "test_log_loss"]
"""Columns that the table of a log always has; a method may log others."""


class MetricsLog:
    """Writer of the lines of one seed; other processes may write those of other seeds at the same time."""

    def __init__(self, folder: str | os.PathLike[str], seed: int, epochs_done: int) -> None:
        """Open the log of a run folder and remove the lines of this seed after epoch `epochs_done`.

        Such lines are left when a run is interrupted after its last checkpoint.
        """
        self.path = RunFolder(folder).metrics_file
        self.seed = seed
        with exclusive_lock(self.path.parent, wait=True):
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            kept = [line for line in lines if _is_kept(line, seed, epochs_done)]
            if kept != lines:
                write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, values: dict[str, Any]) -> None:
        """Append the line of one epoch."""
        line = json.dumps({"seed": self.seed, **values}) + "\n"
        with exclusive_lock(self.path.parent, wait=True), open(self.path, "a") as stream:
            stream.write(line)


def _is_kept(line: str, seed: int, epochs_done: int) -> bool:
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return values["seed"] != seed or values["epoch"] <= epochs_done


def read_metrics(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read metrics.jsonl as a table by seed and epoch: HISTORY_COLUMNS, then all others; NaN where a line has no value.

    A torn last line (the run continues, or was killed) is left out. An epoch that was repeated after an interruption
    counts once, with its last line.

    Raises:
        RunError: the file is missing, or a line before the last is not a JSON object with seed and epoch.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}", "asc-mrkd train writes it next to config.yaml") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records.append({**record, "seed": record["seed"], "epoch": record["epoch"]})
        except (ValueError, TypeError, KeyError):
            if number < len(lines):
                raise RunError(f"{path}, line {number} is not a record of an epoch", "delete that line") from None
    others = {name: None for record in records for name in record if name not in HISTORY_COLUMNS}
    table = pd.DataFrame(records, columns=[*HISTORY_COLUMNS, *others])
    history = table.apply(pd.to_numeric, errors="coerce").astype(float)
    return history.drop_duplicates(["seed", "epoch"], keep="last").sort_values(["seed", "epoch"], ignore_index=True)
