"""Everything the tables and pages say about one run, gathered from its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.config import Experiment, ImagesConfig, MrkdConfig, load_experiment
from asc_mrkd.config.domain import Kind, kind_of
from asc_mrkd.errors import RunError
from asc_mrkd.evaluation.metrics import (
    calibration_error,
    clip_scores,
    confusion_matrix,
    group_table,
    overall_metrics,
    top_k_error,
)
from asc_mrkd.evaluation.statistics import Spread, mean_std
from asc_mrkd.runs.predictions import CLIP_COLUMNS, Predictions, read_predictions

VARIANTS = {"full": "", "plain": " plain", "no_ka": " w/o KA", "no_fcn": " w/o FCN", "mean": " mean"}
"""What is added to the name of MrKD with parts taken out."""

HISTORY_COLUMNS = ["seed", "epoch", "loss", "ce", "train_accuracy", "test_accuracy", "test_log_loss"]


@dataclass(frozen=True)
class RunSummary:
    """One run, scored after its last epoch.

    Attributes:
        folder: the run folder.
        experiment: its resolved settings.
        classes: the M class names in alphabetical order.
        per_seed: index seed; columns accuracy, macro_accuracy, top5_error, calibration_error (0..1) and log_loss (nats)
            of the last epoch; top5_error is None where there are only five classes or fewer.
        scores: one row per test clip as `clip_scores` makes it, correct and log_loss averaged over the seeds.
        confusion: (M, M) clips summed over the seeds; rows are the true class.
        history: HISTORY_COLUMNS and whatever else the method has logged, one row per seed and epoch; NaN where an epoch
            was not evaluated or has no such figure.
    """

    folder: Path
    experiment: Experiment
    classes: tuple[str, ...]
    per_seed: pd.DataFrame
    scores: pd.DataFrame
    confusion: np.ndarray
    history: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.folder.resolve().name

    @property
    def method(self) -> str:
        """Label for tables, such as "MrKD + Mixup"."""
        method = self.experiment.method
        variant = VARIANTS[method.variant] if isinstance(method, MrkdConfig) else ""
        return method.title + variant + (" + Mixup" if self.experiment.augment.mixup else "")

    @property
    def kind(self) -> Kind:
        """What the samples are: scenes or images."""
        return kind_of(self.experiment)

    @property
    def scored(self) -> str:
        """What was scored: "test clips", "test images", or "held-out images" of a run that tunes."""
        data = self.experiment.data
        held_out = isinstance(data, ImagesConfig) and data.held_out
        return f"{'held-out' if held_out else 'test'} {self.kind.samples}"

    @property
    def metrics(self) -> list[str]:
        """The columns of `per_seed` that mean something for these classes."""
        return self.per_seed.columns[self.per_seed.notna().all()].tolist()

    @property
    def seeds(self) -> list[int]:
        """Seeds that have been trained and scored."""
        return self.per_seed.index.tolist()

    @property
    def unfinished_seeds(self) -> list[int]:
        """Seeds that the settings name but that have no predictions yet."""
        return sorted(set(self.experiment.seeds) - set(self.seeds))

    @property
    def test_clips(self) -> int:
        """Number of test clips, counted once however many seeds there are."""
        return len(self.scores)

    def spread(self, metric: str) -> Spread:
        """Mean and standard deviation over the seeds of one of `metrics`."""
        return mean_std(self.per_seed[metric])

    def by(self, column: str) -> pd.DataFrame:
        """Clips, accuracy and log loss by label or by a group of the kind (city, superclass), pooled over the seeds."""
        return group_table(self.scores, column)

    def best_epoch(self, seed: int) -> tuple[int, float] | None:
        """Epoch with the highest test accuracy, and that accuracy: chosen on the test clips, so never a result."""
        looks = self.history[self.history["seed"] == seed].dropna(subset="test_accuracy")
        if looks.empty:
            return None
        best = looks.sort_values("test_accuracy", ascending=False, kind="stable").iloc[0]
        return int(best["epoch"]), float(best["test_accuracy"])


def summarise_run(folder: str | Path) -> RunSummary:
    """Score every finished seed of a run folder.

    Raises:
        RunError: no run folder, no finished seed, a damaged file, or seeds that were scored on different clips.
        ConfigError: its config.yaml does not fit the schema.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise RunError(f"{folder} is not a run folder: no config.yaml in it", "asc-mrkd train CONF.yaml --out RUNDIR")
    experiment = load_experiment(folder / "config.yaml")
    predictions = _read_seeds(folder)
    scores = {seed: clip_scores(one, kind_of(experiment)) for seed, one in predictions.items()}
    first = next(iter(scores.values()))
    pooled = {name: np.mean([one[name] for one in scores.values()], axis=0) for name in ("correct", "log_loss")}
    return RunSummary(
        folder=folder,
        experiment=experiment,
        classes=next(iter(predictions.values())).classes,
        per_seed=pd.DataFrame([_figures(predictions[seed], scores[seed]) for seed in scores], index=list(scores)),
        scores=first.assign(**pooled),
        confusion=np.sum([confusion_matrix(one) for one in predictions.values()], axis=0),
        history=read_metrics(folder / "metrics.jsonl"),
    )


def _figures(predictions: Predictions, scores: pd.DataFrame) -> dict[str, float | None]:
    return {
        **asdict(overall_metrics(scores)),
        "top5_error": top_k_error(predictions, 5) if len(predictions.classes) > 5 else None,
        "calibration_error": calibration_error(predictions),
    }


def _read_seeds(folder: Path) -> dict[int, Predictions]:
    found = {path.parent.name.removeprefix("seed"): path for path in folder.glob("seed*/predictions.csv")}
    paths = {int(seed): path for seed, path in found.items() if seed.isdecimal()}
    if not paths:
        raise RunError(
            f"{folder}: no seed is finished, there is no seed*/predictions.csv",
            "continue with the same `asc-mrkd train` command",
        )
    predictions = {seed: read_predictions(paths[seed]) for seed in sorted(paths)}
    first = next(iter(predictions.values()))
    for seed, one in predictions.items():
        if one.classes != first.classes or not one.table[CLIP_COLUMNS].equals(first.table[CLIP_COLUMNS]):
            raise RunError(
                f"{paths[seed]} scores other clips than the first seed",
                f"delete {folder / f'seed{seed}'} and repeat the `asc-mrkd train` command",
            )
    return predictions


def read_metrics(path: str | Path) -> pd.DataFrame:
    """Read metrics.jsonl: HISTORY_COLUMNS and all others by (seed, epoch), NaN where a line has no such figure.

    A torn last line (the run is still going, or was killed) is left out. An epoch that was repeated after an
    interruption counts once, with its last line.

    Raises:
        RunError: the file is missing, or a line before the last is not a JSON object with seed and epoch.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}", "asc-mrkd train writes it beside config.yaml") from None
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
