"""The system that is submitted: one trained network, or all seeds of a run averaged."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.complexity import RULES, check_budget, format_bytes
from asc_mrkd.config import Experiment, load_experiment
from asc_mrkd.engine.model_file import load_model
from asc_mrkd.errors import RunError, SubmissionError
from asc_mrkd.evaluation import Predictions, clip_scores, group_table, overall_metrics, read_predictions
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.submission.tasks import Task


@dataclass(frozen=True)
class System:
    """What is known of a system; parameters and bytes are those of all its networks together."""

    networks: list[Path]
    """Seed folders."""
    experiment: Experiment
    frontend: FrontendSpec
    predictions: Predictions
    """Test clips of the development set; probabilities averaged over the networks."""
    precision: str | None
    parameters: int
    non_zero: int
    bytes: int
    """Size under the rule of the task."""


def load_system(run: Path, task: Task, precision: str | None, ensemble: bool) -> System:
    """Gather the system that `run`, a run folder or one of its seed folders, holds.

    Raises:
        RunError, DamagedFileError: no finished seed there, or a file of it is damaged.
        SubmissionError: its classes are not those of the task, or it is over the size limit.
    """
    networks = _networks(run)
    networks = networks if ensemble else networks[:1]
    predictions = pool([read_predictions(folder / "predictions.csv") for folder in networks])
    if predictions.classes != task.classes:
        raise SubmissionError(
            f"{run} tells {', '.join(predictions.classes)} apart, {task.title} wants {', '.join(task.classes)}"
        )
    files = [load_model(folder) for folder in networks]
    frontend = files[0].frontend
    if frontend is None:
        raise SubmissionError(f"{run} was not trained on recordings")
    budgets = [check_budget(file.model, rule=task.rule or "dcase2020-task1b", precision=precision) for file in files]
    system = System(
        networks=networks,
        experiment=load_experiment(networks[0].parent / "config.yaml"),
        frontend=frontend,
        predictions=predictions,
        precision=precision,
        parameters=sum(budget.parameters for budget in budgets),
        non_zero=sum(budget.non_zero for budget in budgets),
        bytes=sum(budget.bytes for budget in budgets),
    )
    if task.rule and system.bytes > RULES[task.rule].limit:
        limit = format_bytes(RULES[task.rule].limit)
        hint = "submit one seed instead of all" if len(networks) > 1 else "see asc-mrkd check-budget; try --precision"
        raise SubmissionError(f"{run} takes {format_bytes(system.bytes)}, {task.title} allows {limit}", hint)
    return system


def _networks(run: Path) -> list[Path]:
    if (run / "predictions.csv").is_file():
        return [run.resolve()]
    folders = [path.parent.resolve() for path in run.glob("seed[0-9]*/predictions.csv")]
    if not folders:
        raise RunError(f"{run}: no seed is finished, there is no seed*/predictions.csv", "asc-mrkd train CONF.yaml")
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix("seed")))


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


def development_results(predictions: Predictions) -> dict[str, dict]:
    """Return the block results.development_dataset: macro accuracy in percent and log loss, overall and per class."""
    scores = clip_scores(predictions)
    overall = overall_metrics(scores)
    by_class = group_table(scores, "label").reindex(predictions.classes)
    return {
        "overall": _scores(overall.macro_accuracy, overall.log_loss),
        "class_wise": {name: _scores(row.accuracy, row.log_loss) for name, row in by_class.iterrows()},
    }


def _scores(accuracy: float, log_loss: float) -> dict[str, float | None]:
    if pd.isna(accuracy):  # a class without a test clip
        return {"accuracy": None, "logloss": None}
    return {"accuracy": round(100 * float(accuracy), 2), "logloss": round(float(log_loss), 4)}
