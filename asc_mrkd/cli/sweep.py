"""asc-mrkd sweep: an experiment at every combination of some values."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import Json, parse_seeds, print_json
from asc_mrkd.cli.training import is_first_process, train_visibly
from asc_mrkd.errors import InterruptedRun, NonFiniteError

if TYPE_CHECKING:
    from asc_mrkd.config import Experiment


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
    from asc_mrkd.engine.sweeps import load_points

    points = load_points(conf, overrides)
    chosen = parse_seeds(seeds) if seeds else points[0][1].seeds
    from rich.console import Console

    from asc_mrkd.report.sweep import read_point, sweep_records, sweep_table, write_sweep

    runs = [(out / point.name, experiment) for point, experiment in points]
    failures = _train_points(runs, chosen, together)
    if is_first_process():
        swept = [
            read_point(point.values, folder, experiment, chosen, failures.get(folder, ""))
            for (point, _), (folder, experiment) in zip(points, runs, strict=True)
        ]
        written = write_sweep(out, swept)
        if as_json:
            print_json(sweep_records(swept))
        else:
            Console().print(sweep_table(swept))
            for path in written:
                typer.echo(f"written: {path}")
    raise typer.Exit(1 if failures else 0)


def _train_points(runs: "list[tuple[Path, Experiment]]", seeds: list[int], together: bool) -> dict[Path, str]:
    """Train what is not trained yet, point by point; return why a point failed, by its folder."""
    from asc_mrkd.engine.device import politely_interruptible
    from asc_mrkd.engine.train import require_trainable
    from asc_mrkd.runs import RunFolder

    for folder, experiment in runs:  # all of them before the first is trained
        require_trainable(experiment, folder)
    failures: dict[Path, str] = {}
    with politely_interruptible() as should_stop:
        for number, (folder, experiment) in enumerate(runs, start=1):
            title = f"point {number} of {len(runs)}: {folder.name}"
            if should_stop():  # it came in the last step of a point
                raise InterruptedRun(f"stopped before {title}", "the same command continues")
            if is_first_process():
                typer.echo(title if RunFolder(folder).pending_seeds(seeds) else f"{title} is trained", err=True)
            try:
                train_visibly(experiment, folder, seeds, together, should_stop)
            except NonFiniteError as error:
                failures[folder] = str(error)
    return failures
