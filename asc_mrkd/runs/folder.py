"""The run folder: the resolved experiment, the log, the environment, and a folder a seed."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from asc_mrkd import __version__
from asc_mrkd.config import Experiment, load_experiment, save_experiment
from asc_mrkd.errors import RunError
from asc_mrkd.files import exclusive_lock, write_text
from asc_mrkd.schema import differing_key

CONFIG, METRICS, ENVIRONMENT = "config.yaml", "metrics.jsonl", "environment.json"
CHECKPOINT, PREDICTIONS = "checkpoint.pt", "predictions.csv"


def require_same_run(folder: Path, experiment: Experiment) -> None:
    """Refuse a folder that belongs to another experiment.

    Raises:
        RunError: it does; the differing key is named.
    """
    if not (folder / CONFIG).exists():
        return
    difference = differing_key(load_experiment(folder / CONFIG), experiment, ignore=Experiment.not_numbers)
    if difference:
        raise RunError(
            f"{folder} holds another experiment: {difference.replace(' here', ' in it')}", "choose another --out"
        )


def open_run(folder: Path, experiment: Experiment) -> None:
    """Make a run folder, or enter one that was made for the same experiment; it says what is trained and where."""
    save_experiment(experiment, folder / CONFIG)
    write_text(folder / ENVIRONMENT, json.dumps(environment(), indent=2) + "\n")


def read_run(folder: Path) -> Experiment:
    """Return the experiment of a run folder.

    Raises:
        RunError: it is no run folder.
    """
    if not (folder / CONFIG).exists():
        raise RunError(f"{folder} is not a run folder: {CONFIG} is missing", "asc-mrkd train CONF.yaml --out RUNDIR")
    return load_experiment(folder / CONFIG)


def seed_folder(folder: Path, seed: int) -> Path:
    """Return the folder of one seed."""
    return folder / f"seed{seed}"


def environment() -> dict[str, Any]:
    """Return what the numbers may depend on beside the experiment."""
    return {
        "asc_mrkd": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": " ".join(["asc-mrkd", *sys.argv[1:]]),
    }


class MetricsLog:
    """The lines of metrics.jsonl of one seed; other processes may write those of other seeds at the same time."""

    def __init__(self, folder: Path, seed: int, epochs_done: int) -> None:
        """Open the log; lines of this seed that a lost part of the run had written are taken out."""
        self.path, self.seed = folder / METRICS, seed
        with exclusive_lock(folder, wait=True):
            lines = self.path.read_text().splitlines() if self.path.exists() else []
            kept = [line for line in lines if _is_kept(line, seed, epochs_done)]
            if kept != lines:
                write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, values: dict[str, Any]) -> None:
        """Append one epoch."""
        with exclusive_lock(self.path.parent, wait=True), open(self.path, "a") as stream:
            stream.write(json.dumps({"seed": self.seed, **values}) + "\n")


def _is_kept(line: str, seed: int, epochs_done: int) -> bool:
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return values["seed"] != seed or values["epoch"] <= epochs_done
