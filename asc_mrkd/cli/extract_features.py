"""asc-mrkd extract-features: turn recordings into a feature store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import MaxBad, Workers
from asc_mrkd.cli.own_recordings import takes_own_recordings
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import shell_command
from asc_mrkd.files import format_bytes

if TYPE_CHECKING:
    import pandas as pd

    from asc_mrkd.datasets.pieces import Cutting
    from asc_mrkd.datasets.recordings import Reading
    from asc_mrkd.store import FeatureStore

SHOWN = 20
"""Largest number of left-out files that are printed; clips.csv has all."""


@takes_own_recordings
def extract_features(
    data: Annotated[
        Path, typer.Option(help="Data set as unpacked, or your own recordings: a folder per class, or a table.")
    ],
    out: Annotated[Path, typer.Option(help="Feature store to write.")],
    spec: Annotated[
        str | None, typer.Option(help="Front end, by name or as a YAML file.", show_default="pmel256, or one that fits")
    ] = None,
    *,
    reading: "Reading",
    cutting: "Cutting",
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="Device that computes: cpu, cuda (clips in batches) or auto.")] = "cpu",
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers extract, as in tcp://HOST:8786.")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="Part of the clips to extract, as in 3/8; see join-stores.")] = None,
    no_resample: Annotated[
        bool, typer.Option("--no-resample", help="Refuse recordings whose sample rate is not that of the front end.")
    ] = False,
    max_bad: MaxBad = 0.01,
) -> None:
    """Turn recordings into a feature store.

    If the extraction was interrupted, the same command continues it. If recordings were added, removed or changed, it
    reads only those. Recordings that cannot be used are left out and named, with the reason.

    Example: asc-mrkd extract-features --data exp/dcase18/builtin/scenes --spec pmel256 --out exp/store
    """
    from asc_mrkd.store import extract
    from asc_mrkd.store.layout import BAD
    from asc_mrkd.store.origin import read_origin

    store = extract(
        data,
        out,
        spec,
        reading=reading,
        cutting=cutting,
        workers=workers,
        device=device,
        scheduler=scheduler,
        shard=shard,
        resample=not no_resample,
        progress=show_progress,
    )
    for sentence in read_origin(store.folder).get("done", []):
        say(sentence)
    print_store_size(store)
    bad = store.clips[store.clips["status"] == BAD]
    say_left_out(bad, store, cutting)
    if shard is None:
        say_missing_split(store)
    say_known(store)
    if len(bad) > max_bad * len(store.clips):
        say(f"{len(bad)} of {len(store.clips)} clips cannot be used, more than --max-bad {max_bad}", err=True)
        raise typer.Exit(1)


def say_left_out(bad: "pd.DataFrame", store: "FeatureStore", cutting: "Cutting") -> None:
    """Name the clips that were left out, and what would make them usable, on stderr."""
    from asc_mrkd.store.extraction import NO_VERDICT

    for name, reason in bad[["filename", "reason"]].head(SHOWN).values:
        say(f"left out {name}: {reason}", err=True)
    if len(bad) > SHOWN:
        say(f"... and {len(bad) - SHOWN} more, see {store.folder / 'clips.csv'}", err=True)
    if cutting.short != "refuse" and (bad["reason"] == "wrong_length").any():
        say(f"--clip-seconds {store.spec.clip_seconds:g} would cut longer recordings and repeat shorter ones", err=True)
    again = [reason for reason in NO_VERDICT if (bad["reason"] == reason).any()]
    if again:
        say(f"the same command tries the {' and '.join(again)} ones again", err=True)


def say_missing_split(store: "FeatureStore") -> None:
    """Say on stderr if a store with labels has no usable clip to train on, or none to test on."""
    if store.classes and store.rows("train").empty:
        say("warning: no usable clip is left to train on", err=True)
    if store.classes and store.rows("test").empty:
        say("warning: no usable clip is left to test on: add some, or cross-validate with train --folds", err=True)


def say_known(store: "FeatureStore") -> None:
    """Name the test clips that are training clips, too, on stderr."""
    from asc_mrkd.store.check import find_known_test_clips

    known = find_known_test_clips(store)
    for finding in known[:SHOWN]:
        say(f"warning: test clip {finding.subject} is {finding.detail}", err=True)
    if len(known) > SHOWN:
        command = shell_command("asc-mrkd", "check-data", store.folder, "--json")
        say(f"... and {len(known) - SHOWN} more, see {command}", err=True)


def print_store_size(store: "FeatureStore") -> None:
    """Print the folder, the shape and the size of a store."""
    shape = " x ".join(str(size) for size in store.features.shape)
    say(f"{store.folder}: {shape} float16, {format_bytes(store.features.nbytes)}")
