"""Extraction: a data set's clips into a feature store, in parallel, continuing where it stopped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import pandas as pd

from asc_mrkd.errors import InterruptedRun, StoreError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import exclusive_lock, write_text
from asc_mrkd.store.journal import LEDGER, Ledger, ledger_line
from asc_mrkd.store.layout import (
    BAD,
    CLIPS,
    FEATURES,
    OK,
    PENDING,
    FeatureStore,
    check_space,
    create_or_continue,
    finish,
    full_disk_explained,
    open_store,
    write_table,
)
from asc_mrkd.store.statistics import RunningStatistics
from asc_mrkd.store.worker import Job, Outcome, extract_rows
from asc_mrkd.workers import Pool, available_cores, dask_pool, local_pool, map_in_order

CLIPS_ON_CPU, CLIPS_ON_GPU = 4, 16
"""Clips that a worker is given at once; on a GPU they are one batch."""


def extract(
    clips: pd.DataFrame,
    root: Path,
    spec: FrontendSpec,
    out: Path,
    workers: int | None = None,
    on_clip: Callable[[], None] = lambda: None,
    *,
    device: str = "cpu",
    scheduler: str | None = None,
) -> FeatureStore:
    """Extract the features of all clips into the store `out`; a finished store is opened as it is.

    A clip that cannot be used is marked `bad` with its reason, and the work goes on. Interrupted at any moment, the
    same call continues and ends with the same bytes: rows that are there are compared with their checksum.

    Args:
        clips: columns filename, label, identifier, source_label, split.
        root: folder that the file names start from.
        spec: the front end.
        out: store folder.
        workers: processes of this machine; None takes one per core.
        on_clip: called once for every clip, those done before included.
        device: where the front end computes, `cpu` or `cuda`.
        scheduler: address of a Dask cluster that works instead of processes of this machine.

    Raises:
        StoreError: `out` holds a store of another spec or list, another process writes it, or the disk is full.
        InterruptedRun: Ctrl-C; what was done is kept.
    """
    if (out / CLIPS).exists():
        store = create_or_continue(out, clips, spec)
        if _is_done(store, root):
            return store
    frontend = Frontend(spec, device=device)
    open_pool: AbstractContextManager[Pool] = (
        dask_pool(scheduler) if scheduler else nullcontext(local_pool(workers or available_cores()))
    )
    with open_pool as pool:
        out.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(out, StoreError):
            store = create_or_continue(out, clips, spec)
            if store.is_finished and not (out / LEDGER).exists():
                _reopen(store)
            with full_disk_explained(store):
                check_space(store)
                try:
                    _fill(store, root, frontend, pool, on_clip)
                except KeyboardInterrupt:
                    raise InterruptedRun(f"{out}: interrupted", "the same command continues") from None
    return open_store(out)


def _open_pool(workers: int | None, scheduler: str | None) -> AbstractContextManager[Pool]:
    if scheduler:
        return dask_pool(scheduler)
    return nullcontext(local_pool(workers or available_cores()))


def _is_done(store: FeatureStore, root: Path) -> bool:
    """Whether nothing is left to do: all rows are there, and no bad clip was replaced after the table was written."""
    if not store.is_finished or (store.folder / LEDGER).exists():
        return False
    written = (store.folder / CLIPS).stat().st_mtime
    paths = [root / name for name in store.clips.loc[store.clips["status"] == BAD, "filename"]]
    return not any(path.exists() and path.stat().st_ctime > written for path in paths)


def _reopen(store: FeatureStore) -> None:
    """Make a finished store one that is under way, with its good rows in the ledger."""
    good = store.clips[store.clips["status"] == OK]
    lines = [ledger_line(int(row), int(crc32), "") for row, crc32 in zip(good["row"], good["crc32"], strict=True)]
    write_text(store.folder / LEDGER, "".join(lines))
    write_table(store.folder, store.clips.assign(status=PENDING))


def _fill(store: FeatureStore, root: Path, frontend: Frontend, pool: Pool, on_clip: Callable[[], None]) -> None:
    """Write what is missing of the rows, then the statistics and the table, and remove the ledger."""
    statistics, outcomes = RunningStatistics(store.spec.n_mels), []
    trains = (store.clips["split"] == "train").tolist()
    with Ledger(store.folder) as ledger:
        done = ledger.checksums
        jobs = (Job(row, str(root / name), done.get(row)) for row, name in enumerate(store.clips["filename"]))
        for outcome in _outcomes(jobs, frontend, store.folder / FEATURES, pool):
            if outcome.reason or outcome.crc32 != done.get(outcome.row):
                ledger.write(outcome)
            if outcome.moments and trains[outcome.row]:
                statistics.add(outcome.moments)
            outcomes.append((outcome.reason, outcome.crc32))
            on_clip()
    finish(store, _table(store, outcomes), statistics)
    (store.folder / LEDGER).unlink()


def _outcomes(jobs: Iterator[Job], frontend: Frontend, features: Path, pool: Pool) -> Iterator[Outcome]:
    task = partial(extract_rows, frontend=frontend, features=features.absolute())
    size = CLIPS_ON_GPU if frontend.backend == "torch" else CLIPS_ON_CPU
    chunks = iter(lambda: list(islice(jobs, size)), [])
    return map_in_order(pool, task, chunks, on_crash=lambda job: Outcome(job.row, "crashed"))


def _table(store: FeatureStore, outcomes: Sequence[tuple[str, int]]) -> pd.DataFrame:
    reasons, checksums = map(list, zip(*outcomes, strict=True))
    return store.clips.assign(
        status=[BAD if reason else OK for reason in reasons],
        reason=reasons,
        frames=[0 if reason else store.spec.frames for reason in reasons],
        crc32=checksums,
    )
