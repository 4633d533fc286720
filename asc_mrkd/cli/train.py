"""asc-mrkd train: an experiment into a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import parse_seeds
from asc_mrkd.cli.training import is_first_process, train_visibly


def train(
    conf: Annotated[Path, typer.Argument(help="Experiment file.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="Override a value.")] = None,
    seeds: Annotated[str | None, typer.Option(help="As in 0-3 or 0,2; default: those of the experiment.")] = None,
    together: Annotated[bool, typer.Option("--together", help="All seeds at once on the device.")] = False,
    budget: Annotated[str | None, typer.Option(help="Rule to keep, checked before the first step and after.")] = None,
    precision: Annotated[str | None, typer.Option(help="Width that --budget counts with, as in check-budget.")] = None,
) -> None:
    """Train an experiment, one seed after the other; the same command again continues to the same bits.

    With --budget, exit code 1 when the network is over the limit of that rule: nothing is trained that cannot fit.

    Example: asc-mrkd train recipes/dcase18/conf/reduced.yaml method=ce train.epochs=2 --out exp/ce --seeds 0-1
    """
    from asc_mrkd.errors import ConfigError
    from asc_mrkd.methods import load_experiment

    if precision and not budget:
        raise ConfigError("--precision is what --budget counts with", "add --budget dcase2020-task1b")
    experiment = load_experiment(conf, overrides)
    chosen = parse_seeds(seeds) if seeds else experiment.seeds
    if budget:
        from asc_mrkd.budget.gate import require_trained_within, require_untrained_within
        from asc_mrkd.engine.samples import open_data

        data = open_data(experiment.data)
        require_untrained_within(experiment, len(data.classes), data.input_shape, budget, precision)
    train_visibly(experiment, out, chosen, together)
    if is_first_process():
        typer.echo(f"{out}: seeds {', '.join(map(str, chosen))} are trained; asc-mrkd evaluate {out}")
        if budget:
            for seed, counted in require_trained_within(out, chosen, budget, precision).items():
                typer.echo(f"seed {seed} is within the limits of {counted.rule.title}: {counted.describe_size()}")
