"""asc-mrkd extract-features: recordings into a feature store."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import MaxBad, Workers
from asc_mrkd.cli.progress import progress
from asc_mrkd.cores import CORES


def extract_features(
    data: Annotated[Path, typer.Option(help="Data set folder as unpacked from its archives.")],
    out: Annotated[Path, typer.Option(help="Feature store to write.")],
    spec: Annotated[str, typer.Option(help="Front end: a name out of features/ or a YAML file.")] = "pmel256",
    workers: Workers = CORES,
    max_bad: MaxBad = 0.01,
) -> None:
    """Turn the recordings of a data set into a feature store; the same command continues and never works twice.

    Example: asc-mrkd extract-features --data exp/scenes --spec pmel256 --out exp/store
    """
    from asc_mrkd.data.dcase import read_dataset
    from asc_mrkd.features import extract, load_spec

    frontend, dataset = load_spec(spec), read_dataset(data)
    with progress("features", len(dataset.clips), "clips") as advance:
        store = extract(dataset.clips, dataset.root, frontend, out, workers, advance)
    bad = store.clips[store.clips["status"] == "bad"]
    shape = " x ".join(str(size) for size in store.features.shape)
    typer.echo(f"{out}: {shape} float16, {store.features.nbytes / 2**20:.0f} MiB")
    for clip in bad.itertuples():
        typer.echo(f"left out {clip.filename}: {clip.reason}", err=True)
    if len(bad) > max_bad * len(store.clips):
        typer.echo(f"{len(bad)} of {len(store.clips)} clips cannot be used, more than --max-bad {max_bad}", err=True)
        raise typer.Exit(1)
