"""The system that is submitted: one trained network, or all seeds of a run averaged."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.budget import Verdict, check_budget, sum_verdicts
from asc_mrkd.compression.steps import SEPARATOR, STEPS, parse_steps
from asc_mrkd.config import Experiment
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.errors import DamagedFileError, RunError, SubmissionError
from asc_mrkd.evaluation import clip_scores, group_table, overall_metrics
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.runs import Predictions, SeedFolder, find_scored_seeds, read_predictions
from asc_mrkd.submission.tasks import Task

COUNTING_RULE = "dcase2020-task1b"
"""Counts the parameters where neither the task nor the user names a rule; every rule finds as many."""


@dataclass(frozen=True)
class System:
    """What is known of a system; parameters, bytes and multiply-adds are those of all its networks together."""

    networks: list[Path]
    """Seed folders."""
    experiment: Experiment
    frontend: FrontendSpec
    predictions: Predictions
    """Test clips of the development set; probabilities averaged over the networks."""
    measures: tuple[str, ...]
    """What was done to make it small, in words."""
    parameters: int
    non_zero: int
    bytes: int
    """Size under the rule of the task."""
    multiply_adds: int


def load_system(run: Path, task: Task, precision: str | None, ensemble: bool, budget: str | None = None) -> System:
    """Gather the system that `run`, a run folder or one of its seed folders, holds.

    Raises:
        ConfigError: unknown rule `budget` or unknown precision.
        RunError, DamagedFileError: no finished seed there, or a file of it is damaged.
        SubmissionError: its classes are not those of the task.
        BudgetError: it takes more than the rule of the task, or `budget`, allows.
    """
    seeds = find_scored_seeds(run)
    if not ensemble:
        seeds = seeds[:1]
    networks = [seed.path for seed in seeds]
    predictions = pool([read_predictions(seed.predictions) for seed in seeds])
    if predictions.classes != task.classes:
        raise SubmissionError(
            f"{run} tells {', '.join(predictions.classes)} apart, {task.title} wants {', '.join(task.classes)}"
        )
    frontend = load_model(networks[0]).frontend
    if frontend is None:
        raise SubmissionError(f"{run} was not trained on recordings")
    experiment = seeds[0].run.experiment
    counted = None
    for rule in dict.fromkeys(filter(None, (task.rule, budget))):
        verdict = _count_together(networks, rule, precision)
        hint = f"asc-mrkd fit-budget {run} --rule {rule}" if len(networks) == 1 else "submit one seed instead of all"
        verdict.require_within(str(run), hint)
        counted = counted or verdict
    counted = counted or _count_together(networks, COUNTING_RULE, precision)
    return System(
        networks=networks,
        experiment=experiment,
        frontend=frontend,
        predictions=predictions,
        measures=_measures(seeds[0], experiment, precision),
        parameters=counted.parameters,
        non_zero=counted.non_zero,
        bytes=counted.bytes,
        multiply_adds=counted.multiply_adds,
    )


def _count_together(networks: Sequence[Path], rule: str, precision: str | None) -> Verdict:
    # The folders, not the networks: a loaded network computes in float32, however it is stored.
    return sum_verdicts([check_budget(folder, rule, precision) for folder in networks])


def _measures(seed: SeedFolder, experiment: Experiment, precision: str | None) -> tuple[str, ...]:
    """What was done to make a network small: while training, afterwards, and for the count."""
    measures = [STEPS["prune"].title] if experiment.train.prune else []
    record = seed.compression
    if record.is_file():
        try:
            steps = SEPARATOR.join(json.loads(record.read_text(encoding="utf-8"))["steps"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"{record} cannot be read: {error}", "asc-mrkd compress writes it") from None
        measures += [step.kind.title for step in parse_steps(steps)]
    measures += [f"weights stored as {precision}"] if precision else []
    return tuple(dict.fromkeys(measures))


def pool(members: list[Predictions]) -> Predictions:
    """Average the probabilities of several networks for the same clips, and decide again.

    Raises:
        RunError: the networks were scored on different clips or classes.
    """
    first = members[0]
    same = (m.classes == first.classes and m.table["filename"].equals(first.table["filename"]) for m in members)
    if not all(same):
        raise RunError("the seeds were scored on different clips", "repeat the same `asc-mrkd train` command")
    probabilities = np.mean([member.probabilities for member in members], axis=0)
    prediction = np.array(first.classes)[probabilities.argmax(axis=1)]
    return dataclasses.replace(first, table=first.table.assign(prediction=prediction), probabilities=probabilities)


def development_results(predictions: Predictions, task: Task) -> dict[str, dict]:
    """Return a block of results: accuracy in percent and log loss in nats, overall, by class and by device.

    The overall accuracy is the mean over the classes; that of a device is the share of its clips that are right, as
    `asc-mrkd evaluate` and the baseline of 2024 count it. A class or a device without a test clip has null for both.
    """
    scores = clip_scores(predictions)
    overall = overall_metrics(scores)
    results: dict[str, dict] = {"overall": _scores(overall.macro_accuracy, overall.log_loss)}
    for block, column, names in (("class_wise", "label", task.classes), ("device_wise", "device", task.devices)):
        if names:
            groups = group_table(scores, column).reindex(names)
            results[block] = {name: _scores(row.accuracy, row.log_loss) for name, row in groups.iterrows()}
    return results


def _scores(accuracy: float, log_loss: float) -> dict[str, float | None]:
    if pd.isna(accuracy):  # no test clip
        return {"accuracy": None, "logloss": None}
    return {"accuracy": round(100 * float(accuracy), 2), "logloss": round(float(log_loss), 4)}
