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
) -> None:
    """Train an experiment, one seed after the other; the same command again continues to the same bits.

    Example: asc-mrkd train recipes/dcase18/conf/reduced.yaml method=ce train.epochs=2 --out exp/ce --seeds 0-1
    """
    from asc_mrkd.config import load_experiment

    experiment = load_experiment(conf, overrides)
    chosen = parse_seeds(seeds) if seeds else experiment.seeds
    train_visibly(experiment, out, chosen, together)
    if is_first_process():
        typer.echo(f"{out}: seeds {', '.join(map(str, chosen))} are trained; asc-mrkd evaluate {out}")
