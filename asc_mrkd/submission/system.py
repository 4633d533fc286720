"""The system to submit: one trained network, or all seeds of a run averaged."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.budget import Verdict, check_budget, sum_verdicts
from asc_mrkd.compression.steps import STEPS, parse_steps
from asc_mrkd.config import Experiment
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.errors import DamagedFileError, RunError, SubmissionError, shell_command
from asc_mrkd.evaluation import clip_scores, group_table, overall_metrics
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.runs import Predictions, SeedFolder, find_scored_seeds, percentage, read_predictions
from asc_mrkd.submission.tasks import Task

COUNTING_RULE = "dcase2020-task1b"
"""Rule to count with where neither the task nor the user names one; every rule counts the same parameters."""


@dataclass(frozen=True)
class System:
    """A system to submit: its networks, their scores, and their size."""

    networks: list[Path]
    """Seed folders."""
    experiment: Experiment
    frontend: FrontendSpec
    predictions: Predictions
    """Test clips of the development set; probabilities averaged over the networks."""
    measures: tuple[str, ...]
    """Measures that made it small, in words."""
    complexity: Verdict
    """Sum over the networks, under the rule of the task."""
    choice: str
    """Sentence about the seeds that are taken, their accuracy, and the alternatives."""


def load_system(run: Path, task: Task, precision: str | None, ensemble: bool, budget: str | None = None) -> System:
    """Load the system in `run`, a run folder or one of its seed folders.

    Raises:
        ConfigError: unknown rule `budget` or unknown precision.
        RunError, DamagedFileError: no finished seed there, or one of its files is damaged.
        SubmissionError: its classes are not those of the task.
        BudgetError: it takes more than the rule of the task, or `budget`, allows.
    """
    finished = find_scored_seeds(run)
    seeds = finished if ensemble else finished[:1]
    networks = [seed.path for seed in seeds]
    members = {seed.path.name: read_predictions(seed.predictions) for seed in seeds}
    predictions = average_predictions([*members.values()])
    if predictions.classes != task.classes:
        raise SubmissionError(
            f"the classes of {run} are {', '.join(predictions.classes)}; those of {task.title} are "
            f"{', '.join(task.classes)}",
            "choose another --task: asc-mrkd submit tasks",
        )
    frontend = load_model(networks[0]).frontend
    if frontend is None:
        raise SubmissionError(f"{run} was not trained on recordings", "choose a run on a feature store")
    experiment = seeds[0].run.experiment
    return System(
        networks=networks,
        experiment=experiment,
        frontend=frontend,
        predictions=predictions,
        measures=compression_measures(seeds[0], experiment, precision),
        complexity=require_within_rules(run, networks, task.rule, budget, precision),
        choice=describe_seeds(run, members | whole_predictions(finished[len(seeds) :]), ensemble),
    )


def whole_predictions(seeds: Sequence[SeedFolder]) -> dict[str, Predictions]:
    """Return the predictions of seeds that are not submitted, by the name of the folder, without damaged ones."""
    members = {}
    for seed in seeds:
        with suppress(RunError, DamagedFileError):
            members[seed.path.name] = read_predictions(seed.predictions)
    return members


def describe_seeds(run: Path, members: Mapping[str, Predictions], ensemble: bool) -> str:
    """Return a sentence about the seeds of a run that are submitted: their accuracy, and that of the alternatives.

    Args:
        run: as the user named it.
        members: predictions of the seeds that could be submitted, by name; the first is, unless all are averaged.
        ensemble: all are averaged.
    """
    alone = {name: macro_percent(member) for name, member in members.items()}
    if len(members) == 1:
        return f"{run}: {', '.join(map(' '.join, alone.items()))} on the test clips (macro accuracy)"
    try:
        averaged = (
            f"all {len(members)} seeds averaged (--ensemble) {macro_percent(average_predictions([*members.values()]))}"
        )
    except RunError:  # they were scored on different clips
        averaged = ""
    first, *others = [f"{name} {percent}" for name, percent in alone.items()]
    if ensemble:
        return f"{run}: {averaged} on the test clips (macro accuracy); alone: {', '.join([first, *others])}"
    instead = ", ".join(filter(None, [*others, averaged]))
    return f"{run}: {first} on the test clips (macro accuracy), the lowest seed; there are also {instead}"


def macro_percent(predictions: Predictions) -> str:
    """Return the macro accuracy as text, as in `57.5 %`."""
    return f"{100 * overall_metrics(clip_scores(predictions)).macro_accuracy:.1f} %"


def require_within_rules(
    run: Path, networks: Sequence[Path], task_rule: str | None, budget: str | None, precision: str | None
) -> Verdict:
    """Count networks together, under the rule of the task and another one; return the verdict of the first rule given.

    Raises:
        ConfigError: unknown rule or precision.
        BudgetError: they are over a limit.
    """
    rules = [rule for rule in (task_rule, budget) if rule is not None]
    verdicts = []
    for rule in rules or [COUNTING_RULE]:
        # The folders are counted, not the loaded networks, which compute in float32 however they are stored.
        verdict = sum_verdicts([check_budget(folder, rule, precision) for folder in networks])
        if rules:
            hint = shell_command("asc-mrkd", "fit-budget", run, "--rule", rule, "--out", "exp/small")
            verdict.require_within(str(run), "submit one seed instead of all" if len(networks) > 1 else hint)
        verdicts.append(verdict)
    return verdicts[0]


def compression_measures(seed: SeedFolder, experiment: Experiment, precision: str | None) -> tuple[str, ...]:
    """Return the measures that made a network small, in words: while training, afterwards, and for the count.

    Raises:
        DamagedFileError: the record of its compression cannot be read.
    """
    measures = []
    if experiment.train.prune:
        measures.append(STEPS["prune"].title)
    for text in seed.compression_steps():
        measures += [step.kind.title for step in parse_steps(text)]
    if precision:
        measures.append(f"weights stored as {precision}")
    return tuple(dict.fromkeys(measures))


def average_predictions(members: list[Predictions]) -> Predictions:
    """Average the probabilities of several networks for the same clips, and predict the most probable class again.

    Raises:
        RunError: the networks were scored on different clips or classes.
    """
    first = members[0]
    for member in members:
        if member.classes != first.classes or not member.table["filename"].equals(first.table["filename"]):
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
    results: dict[str, dict] = {"overall": rounded_scores(overall.macro_accuracy, overall.log_loss)}
    for block, column, names in (("class_wise", "label", task.classes), ("device_wise", "device", task.devices)):
        if names:
            groups = group_table(scores, column).reindex(names)
            results[block] = {name: rounded_scores(row.accuracy, row.log_loss) for name, row in groups.iterrows()}
    return results


def rounded_scores(accuracy: float, log_loss: float) -> dict[str, float | None]:
    """Return a pair of scores in percent and nats; both None where no clip was scored."""
    if pd.isna(accuracy):
        return {"accuracy": None, "logloss": None}
    return {"accuracy": percentage(accuracy), "logloss": round(float(log_loss), 4)}
