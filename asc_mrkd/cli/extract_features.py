"""asc-mrkd extract-features: turn recordings into a feature store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import MaxBad, Workers
from asc_mrkd.cli.progress import progress

if TYPE_CHECKING:
    from asc_mrkd.store import FeatureStore

SHOWN = 20
"""Files that are named when they were left out; clips.csv has all."""


def extract_features(
    data: Annotated[Path, typer.Option(help="Data set folder as unpacked from its archives.")],
    out: Annotated[Path, typer.Option(help="Feature store to write.")],
    spec: Annotated[str, typer.Option(help="Front end: a name out of features/ or a YAML file.")] = "pmel256",
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda: batches of clips on a GPU.")] = "cpu",
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler whose workers do it, tcp://HOST:PORT.")] = None,
    shard: Annotated[str | None, typer.Option(help="Only this part of the clips, as in 3/8; see join-stores.")] = None,
    no_resample: Annotated[
        bool, typer.Option("--no-resample", help="Refuse recordings of another rate than the front end's.")
    ] = False,
    max_bad: MaxBad = 0.01,
) -> None:
    """Turn the recordings of a data set into a feature store; the same command continues and never works twice.

    Example: asc-mrkd extract-features --data exp/scenes --spec pmel256 --out exp/store
    """
    from asc_mrkd.datasets import read_dataset
    from asc_mrkd.features import load_spec
    from asc_mrkd.store import extract
    from asc_mrkd.store.shards import mark_shard, parse_shard

    part = parse_shard(shard) if shard else None
    frontend, dataset = load_spec(spec), read_dataset(data)
    if no_resample:
        frontend = frontend.model_copy(update={"resample": False})
    clips = part.of(dataset.clips) if part else dataset.clips
    if device != "cpu":
        from asc_mrkd.engine.device import choose_device

        device = str(choose_device(device))
    with progress("features", len(clips), "clips") as advance:
        store = extract(clips, dataset.root, frontend, out, workers, advance, device=device, scheduler=scheduler)
    if part:
        mark_shard(out, part)
    print_store_size(store)
    bad = store.clips[store.clips["status"] == "bad"]
    for name, reason in bad[["filename", "reason"]].head(SHOWN).values:
        typer.echo(f"left out {name}: {reason}", err=True)
    if len(bad) > SHOWN:
        typer.echo(f"... and {len(bad) - SHOWN} more, see {out / 'clips.csv'}", err=True)
    if len(bad) > max_bad * len(store.clips):
        typer.echo(f"{len(bad)} of {len(store.clips)} clips cannot be used, more than --max-bad {max_bad}", err=True)
        raise typer.Exit(1)


def print_store_size(store: "FeatureStore") -> None:
    """Print the folder, the shape and the size of a store."""
    shape = " x ".join(str(size) for size in store.features.shape)
    typer.echo(f"{store.folder}: {shape} float16, {store.features.nbytes / 2**20:.0f} MiB")
