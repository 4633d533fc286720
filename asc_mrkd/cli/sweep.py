"""asc-mrkd sweep: an experiment at every combination of some values."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, parse_seeds, print_json
from asc_mrkd.cli.terminal import make_console, say
from asc_mrkd.cli.training import first_process_progress, is_first_process


def sweep(
    conf: Annotated[Path, typer.Argument(metavar="CONF", help="Experiment file.")],
    overrides: Annotated[
        list[str],
        typer.Argument(metavar="key=value,...", help="Keys with the values to sweep over; other keys take one value."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the runs, one per point.")],
    seeds: Annotated[
        str | None, typer.Option(help="Seeds to train, as in 0-3 or 0,2.", show_default="those of the file")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Points to train side by side, each in its own process.", min=1)] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers train, as in tcp://HOST:8786.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an experiment at every combination of some values, which are the points of the sweep.

    Prints a table, and writes sweep.csv and sweep.png next to the runs. If it was interrupted, the same command
    continues.

    A point whose loss becomes infinite is reported. The others are trained nevertheless; the exit code is 1.

    Example: asc-mrkd sweep recipes/cifar100/conf/reduced.yaml method.interval=0.05,0.125,0.5 --out exp/sweep
    """
    from asc_mrkd.engine import sweeps
    from asc_mrkd.report.sweep import read_points, sweep_records, sweep_table, write_sweep

    chosen = parse_seeds(seeds) if seeds else None
    progress = first_process_progress()
    trained = sweeps.sweep(conf, overrides, out, chosen, jobs=jobs, scheduler=scheduler, progress=progress)
    if is_first_process():
        points = read_points(trained)
        written = write_sweep(out, points)
        if as_json:
            print_json(sweep_records(points))
        else:
            make_console().print(sweep_table(points))
            for path in written:
                say(f"written: {path}")
    raise typer.Exit(1 if any(one.failure for one in trained) else 0)
