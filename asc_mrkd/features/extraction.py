"""Extraction: a data set's clips into a feature store, in parallel, continuing where it stopped."""

import csv
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from asc_mrkd.errors import AudioError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.features.store import (
    BAD,
    FEATURES,
    OK,
    PENDING,
    STATS,
    FeatureStore,
    create_or_continue,
    open_store,
    write_statistics,
    write_table,
)

LEDGER = "ledger.csv"
"""Lines `row,status,reason` of an extraction that is under way, each written after its row of the memory map."""

Outcome = tuple[int, str, str]


def extract(
    clips: pd.DataFrame,
    root: Path,
    spec: FrontendSpec,
    out: Path,
    workers: int = 1,
    on_clip: Callable[[], None] = lambda: None,
) -> FeatureStore:
    """Extract the features of all clips into the store `out`; a finished store is opened as it is.

    A clip that cannot be used is marked `bad` with its reason, and the work goes on. Interrupted at any moment, the
    same call continues.

    Args:
        clips: columns filename, label, identifier, source_label, split.
        root: folder that the file names start from.
        spec: the front end.
        out: store folder.
        workers: processes.
        on_clip: called once for every clip, those done before included.

    Raises:
        StoreError: `out` holds a store of another spec or list.
    """
    store = create_or_continue(out, clips, spec)
    if not (store.clips["status"] == PENDING).any() and (out / STATS).exists():
        return store
    done = {row: (row, status, reason) for row, status, reason in _read_ledger(out / LEDGER)}
    for _ in done:
        on_clip()
    todo = [(row, root / name) for row, name in enumerate(clips["filename"]) if row not in done]
    with open(out / LEDGER, "a", newline="") as stream:
        ledger = csv.writer(stream)
        for outcome in _outcomes(todo, spec, out / FEATURES, workers):
            ledger.writerow(outcome)
            stream.flush()
            done[outcome[0]] = outcome
            on_clip()
    _finish(store, done)
    return open_store(out)


def _outcomes(todo: list[tuple[int, Path]], spec: FrontendSpec, features: Path, workers: int) -> Iterator[Outcome]:
    arguments: tuple[Iterable, ...] = (todo, repeat(spec), repeat(features))
    if workers <= 1:
        yield from map(extract_row, *arguments)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads,
                             initargs=(1,)) as pool:  # fmt: skip
        yield from pool.map(extract_row, *arguments, chunksize=4)


def extract_row(clip: tuple[int, Path], spec: FrontendSpec, features: Path) -> Outcome:
    """Write one row of the memory map; return (row, status, reason)."""
    row, path = clip
    try:
        values = _frontend(spec).from_file(path, expected_seconds=spec.clip_seconds)
    except AudioError as error:
        return row, BAD, error.reason
    memory_map = np.load(features, mmap_mode="r+", allow_pickle=False)
    memory_map[row] = values
    return row, OK, ""


@lru_cache(maxsize=1)
def _frontend(spec: FrontendSpec) -> Frontend:
    return Frontend(spec)


def _read_ledger(path: Path) -> Iterator[Outcome]:
    """Yield the whole lines; the last one may be torn by a kill and is then done again."""
    if not path.exists():
        return
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    for row, status, reason in csv.reader(whole.splitlines()):
        yield int(row), status, reason


def _finish(store: FeatureStore, done: dict[int, Outcome]) -> None:
    outcomes = [done[row] for row in range(len(store.clips))]
    clips = store.clips.assign(
        status=[status for _, status, _ in outcomes],
        reason=[reason for _, _, reason in outcomes],
        frames=[store.spec.frames if status == OK else 0 for _, status, _ in outcomes],
    )
    write_statistics(FeatureStore(store.folder, store.spec, clips, store.features))
    write_table(store.folder, clips)
    (store.folder / LEDGER).unlink()
