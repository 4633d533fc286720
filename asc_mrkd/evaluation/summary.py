"""Everything the tables and pages say about one run, gathered from its folder."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.config import Experiment, ImagesConfig
from asc_mrkd.config.domain import CLIP_COLUMNS, Kind, kind_of
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
from asc_mrkd.methods import method_title
from asc_mrkd.runs import Predictions, RunFolder, read_metrics, read_predictions


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
        history: table of `asc_mrkd.runs.read_metrics`.
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
        title = method_title(self.experiment.method)
        if self.experiment.augment.mixup:
            return f"{title} + Mixup"
        return title

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
    run = RunFolder(folder)
    experiment = run.experiment
    predictions = _read_seeds(run)
    scores = {seed: clip_scores(one, kind_of(experiment)) for seed, one in predictions.items()}
    first = next(iter(scores.values()))
    pooled = {name: np.mean([one[name] for one in scores.values()], axis=0) for name in ("correct", "log_loss")}
    return RunSummary(
        folder=run.path,
        experiment=experiment,
        classes=next(iter(predictions.values())).classes,
        per_seed=pd.DataFrame([_figures(predictions[seed], scores[seed]) for seed in scores], index=list(scores)),
        scores=first.assign(**pooled),
        confusion=np.sum([confusion_matrix(one) for one in predictions.values()], axis=0),
        history=read_metrics(run.metrics_file),
    )


def _figures(predictions: Predictions, scores: pd.DataFrame) -> dict[str, float | None]:
    return {
        **asdict(overall_metrics(scores)),
        "top5_error": top_k_error(predictions, 5) if len(predictions.classes) > 5 else None,
        "calibration_error": calibration_error(predictions),
    }


def _read_seeds(run: RunFolder) -> dict[int, Predictions]:
    predictions = {seed: read_predictions(run.seed_folder(seed).predictions) for seed in run.require_finished_seeds()}
    columns = list(CLIP_COLUMNS)
    first = next(iter(predictions.values()))
    for seed, one in predictions.items():
        if one.classes != first.classes or not one.table[columns].equals(first.table[columns]):
            folder = run.seed_folder(seed)
            raise RunError(
                f"{folder.predictions} scores other clips than the first seed",
                f"delete {folder} and repeat the `asc-mrkd train` command",
            )
    return predictions
