"""The log of a run, metrics.jsonl: one JSON object per seed and epoch, written while training and read as a table."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from asc_mrkd.errors import RunError
from asc_mrkd.files import write_text
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.runs.folder import RunFolder

HISTORY_COLUMNS = ["seed", "epoch", "loss", "ce", "train_accuracy", "test_accuracy", "test_log_loss"]
"""Columns that the table of a log always has; a method may log others."""


class MetricsLog:
    """Writer of the lines of one seed; other processes may write those of other seeds at the same time.

    The file is written again with every epoch, so that it never holds a part of a line.
    """

    def __init__(self, folder: str | os.PathLike[str], seed: int, records: Iterable[dict[str, Any]] = ()) -> None:
        """Open the log of a run folder; `records` replace the lines of this seed.

        They come from the checkpoint that the training continues from: lines that a later interruption has left are
        removed, lost ones come back.
        """
        self.path = RunFolder(folder).metrics_file
        self.seed = seed
        self.records = list(records)
        """Values of the epochs of this seed."""
        self._write_file()

    def write(self, values: dict[str, Any]) -> None:
        """Add the line of one epoch.

        Raises:
            ValueError: a value is NaN or infinite, which JSON does not know.
        """
        json.dumps(values, allow_nan=False)
        self.records.append(values)
        self._write_file()

    def _write_file(self) -> None:
        own = [json.dumps({"seed": self.seed, **values}) for values in self.records]
        with exclusive_lock(self.path.parent, RunError, wait=True):
            others: list[str] = []
            replaced: list[str] = []
            for line in _read_lines(self.path) if self.path.exists() else []:
                if _is_of_other_seed(line, self.seed):
                    others.append(line)
                else:
                    replaced.append(line)
            if replaced != own:
                write_text(self.path, "".join(f"{line}\n" for line in [*others, *own]))


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _is_of_other_seed(line: str, seed: int) -> bool:
    try:
        return parse_line(line)["seed"] != seed
    except ValueError:
        return False


def parse_line(line: str) -> dict[str, float]:
    """Return the numbers of a line; a value that is missing (null) is left out.

    Raises:
        ValueError: the line is not a JSON object of numbers with seed and epoch.

    >>> parse_line('{"seed": 0, "epoch": 1, "loss": 2.5}')
    {'seed': 0, 'epoch': 1, 'loss': 2.5}
    """
    try:
        record = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not an object")
    record = {name: value for name, value in record.items() if value is not None}
    for name, value in record.items():
        if type(value) not in (int, float) or not abs(value) <= 1e308:
            raise ValueError(f"{name} is not a number")
    for name in ("seed", "epoch"):
        if type(record.get(name)) is not int or record[name] < 0:
            raise ValueError(f"{name} is not a whole number")
    return record


def is_log_whole(path: str | os.PathLike[str], seed: int) -> bool:
    """Return whether every line of the log can be read, and a trained seed has every epoch once."""
    try:
        records = [parse_line(line) for line in _read_lines(Path(path))]
    except (OSError, ValueError):
        return False
    own = [record for record in records if record["seed"] == seed]
    epochs = [record["epoch"] for record in own]
    return bool(own) and own[-1].get("epochs") == len(own) and epochs == list(range(1, len(own) + 1))


def read_metrics(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read metrics.jsonl as a table by seed and epoch: HISTORY_COLUMNS, then all others; NaN where a line has no value.

    A torn last line is left out; training writes it again. An epoch that was repeated after an interruption counts
    once, with its last line.

    Raises:
        RunError: the file is missing, or a line before the last is not a JSON object of numbers with seed and epoch.
    """
    path = Path(path)
    try:
        lines = _read_lines(path)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}", "asc-mrkd train writes it next to config.yaml") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(parse_line(line))
        except ValueError as error:
            if number < len(lines):
                raise RunError(
                    f"{path}, line {number} is not a record of an epoch: {error}",
                    "repeat the same `asc-mrkd train` command, which writes the lines of its seeds again",
                ) from None
    others = {name: None for record in records for name in record if name not in HISTORY_COLUMNS}
    history = pd.DataFrame(records, columns=[*HISTORY_COLUMNS, *others]).astype(float)
    return history.drop_duplicates(["seed", "epoch"], keep="last").sort_values(["seed", "epoch"], ignore_index=True)
