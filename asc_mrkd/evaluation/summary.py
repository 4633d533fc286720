"""Everything that tables and pages show about one run, gathered from its folder."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.config import Experiment
from asc_mrkd.config.domain import CLIP_COLUMNS, Domain
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
from asc_mrkd.notebook import shown_by
from asc_mrkd.runs import Predictions, RunFolder, read_metrics, read_predictions


@dataclass(frozen=True)
class RunSummary:
    """One run, scored after its last epoch."""

    folder: Path
    """The run folder."""
    experiment: Experiment
    """Its resolved settings."""
    compression: tuple[str, ...]
    """Steps by which the networks were compressed after the training, in their order; empty if they were not."""
    classes: tuple[str, ...]
    """The M class names in alphabetical order."""
    per_seed: pd.DataFrame
    """Figures of the last epoch, indexed by seed.

    Columns: accuracy, macro_accuracy, log_loss (nats), top5_error, calibration_error; all but the log loss 0..1.
    top5_error is None with five classes or fewer.
    """
    scores: pd.DataFrame
    """Table of `clip_scores`, one row per test clip; correct and log_loss are averaged over the seeds."""
    probabilities: np.ndarray
    """Class probabilities (clip, class) of the clips in `scores`, averaged over the seeds."""
    confusion: np.ndarray
    """(M, M) clips summed over the seeds; rows are the true class."""
    history: pd.DataFrame
    """Log of the training of these seeds as a table, see `asc_mrkd.runs.read_metrics`."""

    _repr_html_ = shown_by("asc_mrkd.report.notebook", "run_html")

    def __repr__(self) -> str:
        """Return the run, its method and its accuracy, in place of all tables."""
        accuracy = self.spread("accuracy")
        return f"RunSummary({str(self.folder)!r}, {self.method}, seeds={self.seeds}, accuracy={accuracy})"

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
    def domain(self) -> Domain:
        """Scenes or images."""
        return self.experiment.domain

    @property
    def scored(self) -> str:
        """Name of the scored samples: "test clips", "test images", or "held-out images" of a run that tunes."""
        return f"{self.experiment.data.scored_split} {self.domain.samples}"

    @property
    def metrics(self) -> list[str]:
        """Columns of `per_seed` that exist for these classes."""
        return self.per_seed.columns[self.per_seed.notna().all()].tolist()

    @property
    def seeds(self) -> list[int]:
        """Seeds that have been trained and scored."""
        return self.per_seed.index.tolist()

    @property
    def unfinished_seeds(self) -> list[int]:
        """Seeds that training was asked for and that have no predictions yet."""
        return sorted(set(self.experiment.seeds) - set(self.seeds))

    @property
    def test_clips(self) -> int:
        """Number of test clips; several seeds count each clip once."""
        return len(self.scores)

    def spread(self, metric: str) -> Spread:
        """Return mean and standard deviation over the seeds of one of `metrics`."""
        return mean_std(self.per_seed[metric])

    def by(self, column: str) -> pd.DataFrame:
        """Tabulate clips, accuracy and log loss by label or by a group (city, superclass), pooled over the seeds."""
        return group_table(self.scores, column)

    def best_epoch(self, seed: int) -> tuple[int, float] | None:
        """Return the epoch with the highest test accuracy, and that accuracy; None if no epoch was scored.

        It is chosen on the test clips, so it is never a result.
        """
        scored_epochs = self.history[self.history["seed"] == seed].dropna(subset="test_accuracy")
        if scored_epochs.empty:
            return None
        best = scored_epochs.sort_values("test_accuracy", ascending=False, kind="stable").iloc[0]
        return int(best["epoch"]), float(best["test_accuracy"])


def evaluate(run: str | os.PathLike[str]) -> RunSummary:
    """Score every finished seed of a run folder.

        summary = evaluate("exp/ce")
        summary.spread("accuracy")  # Spread(mean=0.7812, std=0.0045)
        summary.by("city")  # table: clips, accuracy (0..1), log_loss (nats)

    Args:
        run: the run folder, as `asc-mrkd train` left it.

    Raises:
        RunError: not a run folder, no finished seed, a damaged file, or seeds that were scored on different clips.
        ConfigError: its config.yaml does not fit the schema.
    """
    folder = RunFolder(run)
    experiment = folder.experiment
    predictions = _read_all_predictions(folder)
    seeds = list(predictions)
    scores = {seed: clip_scores(one, experiment.domain) for seed, one in predictions.items()}
    figures = [_seed_figures(predictions[seed], scores[seed]) for seed in seeds]
    history = read_metrics(folder.metrics_file)
    return RunSummary(
        folder=folder.path,
        experiment=experiment,
        compression=tuple(folder.seed_folder(seeds[0]).compression_steps()),
        classes=predictions[seeds[0]].classes,
        per_seed=pd.DataFrame(figures, index=seeds),
        scores=_average_scores(scores.values()),
        probabilities=np.mean([one.probabilities for one in predictions.values()], axis=0),
        confusion=np.sum([confusion_matrix(one) for one in predictions.values()], axis=0),
        history=history[history["seed"].isin(seeds)].reset_index(drop=True),
    )


def _read_all_predictions(run: RunFolder) -> dict[int, Predictions]:
    """Read the predictions by seed and refuse seeds that were scored on different clips."""
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


def _seed_figures(predictions: Predictions, scores: pd.DataFrame) -> dict[str, float | None]:
    return {
        **asdict(overall_metrics(scores)),
        "top5_error": top_k_error(predictions, 5) if len(predictions.classes) > 5 else None,
        "calibration_error": calibration_error(predictions),
    }


def _average_scores(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the table of the first seed with the scores averaged over all."""
    tables = list(tables)
    averages = {name: np.mean([table[name] for table in tables], axis=0) for name in ("correct", "log_loss")}
    return tables[0].assign(**averages)
