"""asc-mrkd sweep: an experiment at every combination of some values."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, parse_seeds, print_json
from asc_mrkd.cli.training import is_first_process, train_visibly
from asc_mrkd.errors import AscMrkdError, ConfigError, NonFiniteError


def sweep(
    conf: Annotated[Path, typer.Argument(help="Experiment file.")],
    overrides: Annotated[
        list[str], typer.Argument(metavar="key=a,b,... [key=value]...", help="Values to sweep over, and fixed ones.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that gets a run folder a point.")],
    seeds: Annotated[str | None, typer.Option(help="As in 0-3 or 0,2; default: those of the experiment.")] = None,
    together: Annotated[bool, typer.Option("--together", help="All seeds of a point at once.")] = False,
    as_json: Json = False,
) -> None:
    """Train every combination of the values; finished points are skipped, the same command again goes on.

    Ends in a table, OUT/sweep.csv and OUT/sweep.png. A point whose loss becomes infinite is named, the others go on.

    Example: asc-mrkd sweep recipes/cifar100/conf/reduced.yaml method.interval=0.05,0.125,0.5 --out exp/sweep
    """
    from asc_mrkd.config import load_experiment
    from asc_mrkd.config.grid import grid

    points = grid(overrides)
    chosen = parse_seeds(seeds) if seeds else None
    experiments = []
    for point in points:  # all of them before the first is trained
        try:
            experiments.append(load_experiment(conf, point.overrides))
        except AscMrkdError as error:
            raise ConfigError(f"{point.name}: {error}", error.hint) from None

    from rich.console import Console

    from asc_mrkd.evaluation import summarise_run
    from asc_mrkd.report.sweep import SweptPoint, sweep_records, sweep_table, write_sweep

    swept = []
    for number, (point, experiment) in enumerate(zip(points, experiments, strict=True), start=1):
        folder, failure = out / point.name, ""
        if is_first_process():
            typer.echo(f"point {number} of {len(points)}: {point.name}", err=True)
        try:
            train_visibly(experiment, folder, chosen or experiment.seeds, together)
        except NonFiniteError as error:
            failure = str(error)
        finished = any(folder.glob("seed*/predictions.csv"))
        swept.append(SweptPoint(point.values, summarise_run(folder) if finished else None, failure))
    if is_first_process():
        write_sweep(out, swept)
        if as_json:
            print_json(sweep_records(swept))
        else:
            Console().print(sweep_table(swept))
            typer.echo(f"points and seeds: {out / 'sweep.csv'}\npicture: {out / 'sweep.png'}")
    raise typer.Exit(1 if any(point.failure for point in swept) else 0)
