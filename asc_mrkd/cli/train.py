"""asc-mrkd train: an experiment into a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import parse_seeds
from asc_mrkd.cli.terminal import say
from asc_mrkd.cli.training import first_process_progress, is_first_process

if TYPE_CHECKING:
    from asc_mrkd.config import Experiment, ModelConfig


def train(
    conf: Annotated[
        Path, typer.Argument(metavar="CONF", help="Experiment file; or a feature store, for settings that fit it.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="Values to change, as in train.epochs=50.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; needed unless --print-config is given.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds to train, as in 0-3 or 0,2.", show_default="those of the file")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validate: test on each of this number of folds, and train on the others.", min=2),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Rule that the network must keep, before and after the training.")
    ] = None,
    budget_precision: Annotated[
        str | None, typer.Option(help="Precision to count it with, as in check-budget --precision.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Check the settings, print the whole experiment, and stop.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Send the metrics to tensorboard or trackio, too; may be repeated."),
    ] = None,
) -> None:
    """Train an experiment, one seed after the other.

    If the training was interrupted, the same command continues it, and ends with the bits of an uninterrupted one.

    Given a feature store instead of an experiment file, it chooses a small network and settings that fit the store, and
    says how long the training will take. The file config.yaml in the run folder is then the experiment file.

    With --folds, the run folder has one run per fold. It joins their predictions, so that evaluate, compare and report
    score every clip once.

    With --budget, a network that cannot keep the rule is not trained, and the exit code is 1 if a trained one is over a
    limit.

    Example: asc-mrkd train recipes/dcase18/conf/reduced.yaml method=ce train.epochs=2 --out exp/ce --seeds 0-1
    """
    from asc_mrkd.config import experiment_yaml
    from asc_mrkd.engine import training
    from asc_mrkd.engine.fitting import fit_experiment
    from asc_mrkd.errors import ConfigError
    from asc_mrkd.methods import load_experiment
    from asc_mrkd.runs import RunFolder

    if budget_precision and not budget:
        raise ConfigError("--budget-precision needs --budget", "add --budget dcase2020-task1b")
    changes = list(overrides or [])
    if folds:
        changes.append(f"data.folds={folds}")
    fits_the_store = conf.is_dir()
    experiment = fit_experiment(conf, changes) if fits_the_store else load_experiment(conf, changes)
    chosen = parse_seeds(seeds) if seeds else experiment.seeds
    if print_config:
        require_known_options(experiment.model)
        say(experiment_yaml(experiment.with_seeds(chosen)).rstrip())
        return
    if out is None:
        raise ConfigError("a training needs a run folder to write", "name it, as in --out exp/my_run")
    if fits_the_store and is_first_process() and not RunFolder(out).seeds():
        say_plan(experiment, out, chosen)
    training.train(
        experiment,
        out,
        chosen,
        budget=budget,
        budget_precision=budget_precision,
        track=track or (),
        progress=first_process_progress(),
    )
    if is_first_process():
        say_trained(out, chosen)
        if budget and not experiment.data.is_cross_validation:
            require_within_budget(out, chosen, budget, budget_precision)


def say_plan(experiment: "Experiment", out: Path, seeds: Sequence[int]) -> None:
    """Say on stderr which network is trained on how many clips, and how long it will take."""
    from asc_mrkd.engine.fitting import describe_fit, describe_seconds, expected_seconds

    expected = describe_seconds(expected_seconds(experiment, seeds))
    say(f"{out}: {describe_fit(experiment)}", err=True)
    epochs = experiment.train.epochs
    noun = "epoch" if epochs == 1 else "epochs"
    say(f"{out}: {epochs} {noun} per seed; expected time in all: {expected}", err=True)


def say_trained(out: Path, seeds: Sequence[int]) -> None:
    """Say which seeds are trained, and the command that shows their results."""
    from asc_mrkd.errors import shell_command

    trained = f"seed {seeds[0]} is" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))} are"
    say(f"{out}: {trained} trained; {shell_command('asc-mrkd', 'evaluate', out)}")


def require_within_budget(out: Path, seeds: Sequence[int], budget: str, precision: str | None) -> None:
    """Say of every seed that it keeps the limits of the budget; raise BudgetError if one is over a limit."""
    from asc_mrkd.budget.gate import require_trained_within

    for seed, verdict in require_trained_within(out, seeds, budget, precision).items():
        say(f"seed {seed} is within the limits of {verdict.rule.title}: {verdict.describe_size()}")


def require_known_options(section: "ModelConfig") -> None:
    """Raise ModelError if a network by name does not take its options; one in a file of the user is not built."""
    from asc_mrkd.models import build_model, without_storage
    from asc_mrkd.own_code import parse_own

    if parse_own(section.name) is None:
        with without_storage():
            build_model(section.name, num_classes=2, **section.options)
