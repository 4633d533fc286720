"""Extraction: the clips of a data set into a feature store, in parallel; an interrupted extraction continues."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pandas as pd

from asc_mrkd.datasets import Reading, read_dataset
from asc_mrkd.datasets.pieces import Cutting
from asc_mrkd.datasets.recordings import recordings_of
from asc_mrkd.errors import DataError, InterruptedRun, StoreError, require_bool
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import write_text
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.machine import available_cores
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.store.journal import Journal, journal_line
from asc_mrkd.store.layout import (
    BAD,
    CLIPS,
    FEATURES,
    JOURNAL,
    NEXT,
    OK,
    PENDING,
    SHARD,
    FeatureStore,
    check_space,
    create_or_open,
    differing_clip,
    finish,
    finish_replacement,
    full_disk_explained,
    is_intact,
    open_parts,
    open_store,
    require_store_or_empty,
    write_table,
)
from asc_mrkd.store.origin import ORIGIN
from asc_mrkd.store.preparation import prepare, write_origin
from asc_mrkd.store.replacement import create_continue_or_replace, take_over_rows, written_rows
from asc_mrkd.store.shards import mark_shard, parse_shard, require_no_other_shard
from asc_mrkd.store.sources import State, find_replaced, list_sources, read_sources, write_sources
from asc_mrkd.store.statistics import RunningStatistics
from asc_mrkd.store.worker import CLIPS_PER_TASK, ClipJob, RowResult, extract_rows
from asc_mrkd.workers import Pool, dask_pool, local_pool, map_in_order

PIECES_PER_TASK = 256
"""Most clips of one recording that a worker receives at once."""

CRASHED = "crashed"
"""Reason of a clip whose worker died at every attempt."""

LIST_COLUMNS = ("filename", "label", "identifier", "source_label", "split")
"""Columns of every list of clips."""

NO_VERDICT = (CRASHED, "unreadable")
"""Reasons that say nothing about a recording: it may have been the victim of another one, or of a bad connection.
A clip with one of them is tried twice, and again by the next extraction into the store."""


def extract(
    data: str | os.PathLike[str] | pd.DataFrame,
    out: str | os.PathLike[str],
    spec: str | os.PathLike[str] | FrontendSpec | None = None,
    *,
    reading: Reading | None = None,
    cutting: Cutting | None = None,
    workers: int | None = None,
    device: str = "cpu",
    scheduler: str | None = None,
    shard: str | None = None,
    resample: bool = True,
    progress: Progress = no_progress,
) -> FeatureStore:
    """Extract the features of a data set into the feature store `out`; a finished store is opened unchanged.

    Own recordings are cut into clips of the length of the front end, which is chosen to fit them; the recordings of an
    official data set must have that length, unless `cutting` says another one. `origin.yaml` in the store says what
    was done with own recordings.

    A clip that cannot be used is marked `bad` with a reason code, and the work goes on. After an interruption at any
    moment the same call continues and ends with the same bytes. A recording that was replaced by another one of the
    same name since, as its size and the time of its last change say, is extracted again. If the list of clips has
    changed, the rows of unchanged recordings are taken over, and the former store stays until the new one is finished.

    Args:
        data: data set folder as unpacked from its archives, or own recordings: a folder per class, or a table.
        out: folder of the store.
        spec: front end: its name, the path of its YAML file or the definition itself; None takes `pmel256`, and for own
            recordings one that fits their rate, channels and length.
        reading: columns and split of own recordings.
        cutting: length of the clips, and the treatment of long and short recordings.
        workers: number of processes; by default one per core.
        device: device of the front end: cpu, cuda or auto.
        scheduler: address of a Dask scheduler whose workers replace the processes of this machine.
        shard: part of the clips to extract, as in 3/8; see `join_stores`.
        resample: resample recordings of another rate; otherwise they are bad clips with the reason wrong_rate.
        progress: see `asc_mrkd.progress`.

    Returns:
        The finished store. `store.clips` has one row per clip, with its status and its reason code.

    Raises:
        DataError: the data are not a data set, or their lists or splits are not valid.
        ConfigError: the front end, the length of the clips, the shard, the device or the address of the scheduler is
            not valid.
        StoreError: `out` holds other files, or a store of another spec, of another shard, or without an unchanged
            recording of the list; another process writes it; or the disk is full.
        InterruptedRun: Ctrl-C; the finished rows are kept.

    Example:
        ```python
        store = extract("exp/scenes", "exp/store", workers=2)
        store.features.shape  # (clip, channel, mel, frame)
        ```
    """
    require_bool(resample, "resample")
    part = parse_shard(shard) if shard else None
    dataset = read_dataset(data, reading)
    require_store_or_empty(Path(out))  # before all headers are read
    if part:
        require_no_other_shard(Path(out), part)
    prepared = prepare(dataset, spec, cutting, workers=workers or available_cores(), progress=progress)
    dataset = prepared.dataset
    frontend_spec = prepared.spec
    if not resample:
        frontend_spec = frontend_spec.model_copy(update={"resample": False})
    store = extract_clips(
        part.select(dataset.clips) if part else dataset.clips,
        dataset.root,
        frontend_spec,
        out,
        classes=dataset.classes,
        workers=workers,
        device=device,
        scheduler=scheduler,
        progress=progress,
    )
    if part:
        mark_shard(store.folder, part, dataset.clips)
    else:  # it may have been the store of a shard before
        _remove_if_there(store.folder / SHARD)
    if prepared.sentences:
        write_origin(store.folder, data, prepared, reading or Reading())
    else:  # it may have been that of own recordings before
        _remove_if_there(store.folder / ORIGIN)
    return store


def _remove_if_there(path: Path) -> None:
    """Remove a file if there is one; a disk that may only be read refuses to remove even a file that is missing."""
    if path.exists():
        path.unlink()


def extract_clips(
    clips: pd.DataFrame,
    root: str | os.PathLike[str],
    spec: FrontendSpec,
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    workers: int | None = None,
    device: str = "cpu",
    scheduler: str | None = None,
    progress: Progress = no_progress,
) -> FeatureStore:
    """Extract the features of a list of clips; see `extract`, which takes the list from a data set folder.

    Args:
        clips: table with the columns filename, label, identifier, source_label, split, and for parts of recordings
            those of PIECE_COLUMNS.
        root: folder that the file names start from.
        spec: front end.
        out: folder of the store.
        classes: class names in the order of their indices; by default the labels in alphabetical order.
        workers: number of processes; by default one per core.
        device: device of the front end: cpu, cuda or auto.
        scheduler: address of a Dask scheduler.
        progress: see `asc_mrkd.progress`.

    Raises:
        DataError: `clips` lacks a column, has no row, or lists a clip twice.
        ConfigError: the device or the address of the scheduler is not valid.
        StoreError: `out` holds a store of another spec or without an unchanged recording of the list; another process
            writes it; or the disk is full.
        InterruptedRun: Ctrl-C; the finished rows are kept.
    """
    _require_list(clips)
    root = Path(root)
    out = Path(out)
    # Before any recording is read: one that changes from now on is extracted again by the next call.
    states = list_sources(root, recordings_of(clips).unique())
    # Without the lock, so that a finished store may lie on a disk that only reads.
    if (out / CLIPS).exists() and not (out / NEXT).exists():
        store = create_or_open(out, clips, spec, classes)
        if not differing_clip(store.clips, clips) and _is_done(store, root, states):
            return open_store(out)
    frontend = Frontend(spec, device=device)
    with _open_pool(workers, scheduler) as pool:
        out.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(out, StoreError):
            finish_replacement(out)
            store = create_continue_or_replace(out, clips, spec, classes, states)
            if not _is_done(store, root, states):  # by another process, since it was asked above
                try:
                    _finish_store(store, out, root, states, frontend, pool, progress)
                except KeyboardInterrupt:
                    raise InterruptedRun(f"{out}: interrupted", "the same command continues") from None
            del store  # Windows moves no file that is in use
            finish_replacement(out)
    return open_store(out)


def _require_list(clips: pd.DataFrame) -> None:
    """Refuse a table that is not a list of clips, before anything is written.

    Raises:
        DataError: a column is missing, there is no clip, or one is listed twice.
    """
    missing = [column for column in LIST_COLUMNS if column not in clips]
    if missing:
        raise DataError(
            f"the list of clips has no column {missing[0]}",
            f"it takes {', '.join(LIST_COLUMNS)}; extract(data, out) makes such a list",
        )
    if clips.empty:
        raise DataError("the list of clips is empty", "give at least one clip")
    repeated = clips["filename"][clips["filename"].duplicated()]
    if len(repeated):
        raise DataError(f"{repeated.iloc[0]} is listed twice", "clips.drop_duplicates() leaves repeated rows out")


def _is_done(store: FeatureStore, root: Path, states: dict[str, State]) -> bool:
    """Return whether the store is finished and intact, and every bad clip has had its verdict."""
    if not store.is_finished or (store.folder / JOURNAL).exists() or not is_intact(store.folder):
        return False
    bad = store.clips[store.clips["status"] == BAD]
    pairs = zip(recordings_of(bad), bad["reason"], strict=True)
    if any(_may_be_usable(root / name, reason) for name, reason in pairs):
        return False
    return not find_replaced(store.folder, read_sources(store.folder), states)


def _may_be_usable(path: Path, reason: str) -> bool:
    """Return whether another attempt at a bad clip, whose recording was not replaced, may succeed."""
    return reason in NO_VERDICT or (reason in ("missing", "no_permission") and os.access(path, os.R_OK))


def _open_pool(workers: int | None, scheduler: str | None) -> AbstractContextManager[Pool]:
    if scheduler:
        return dask_pool(scheduler)
    return nullcontext(local_pool(workers or available_cores()))


def _finish_store(
    store: FeatureStore,
    out: Path,
    root: Path,
    states: dict[str, State],
    frontend: Frontend,
    pool: Pool,
    progress: Progress,
) -> None:
    """Write everything that the store in `out`, or its replacement, still lacks.

    Raises:
        StoreError: the disk is full.
    """
    if not (store.clips["status"] == PENDING).any() and not (store.folder / JOURNAL).exists():
        _reopen(store)
    _forget_replaced(store, states)
    with full_disk_explained(store):
        check_space(store)
        if store.folder != out:
            take_over_rows(open_parts(out), store, states, progress)
        _fill(store, root, frontend, pool, progress)


def _reopen(store: FeatureStore) -> None:
    """Turn a finished store into an extraction in progress whose good rows are in the journal."""
    lines = [journal_line(row, crc32, "") for row, crc32 in written_rows(store).items()]
    write_text(store.folder / JOURNAL, "".join(lines))
    write_table(store.folder, store.clips.assign(status=PENDING))


def _forget_replaced(store: FeatureStore, states: dict[str, State]) -> None:
    """Take the rows of replaced recordings out of the journal; then note the states of all recordings."""
    recordings = recordings_of(store.clips)
    known = read_sources(store.folder)
    replaced = find_replaced(store.folder, known, states)
    changed = sorted(replaced & set(known))
    if changed:
        names = "1 recording has" if len(changed) == 1 else f"{len(changed)} recordings have"
        message = f"{names} changed since the extraction into {store.folder}, such as {changed[0]}; "
        warnings.warn(f"{message}the features are extracted again", stacklevel=2)
    if replaced:
        checksums = Journal(store.folder).checksums
        kept = store.clips["row"][~recordings.isin(replaced) & store.clips["row"].isin(list(checksums))]
        write_text(store.folder / JOURNAL, "".join(journal_line(row, checksums[row], "") for row in kept))
    write_sources(store.folder, {**known, **states})


def _fill(store: FeatureStore, root: Path, frontend: Frontend, pool: Pool, progress: Progress) -> None:
    """Write the missing rows, then the statistics, the table and the checksums, and remove the journal."""
    results, statistics = _fill_rows(store, root, frontend, pool, progress)
    if any(reason in NO_VERDICT for reason, _ in results):
        results, statistics = _fill_rows(store, root, frontend, pool, progress)
    finish(store, _finished_table(store, results), statistics)
    (store.folder / JOURNAL).unlink()


def _fill_rows(
    store: FeatureStore, root: Path, frontend: Frontend, pool: Pool, progress: Progress
) -> tuple[list[tuple[str, int]], RunningStatistics]:
    """Write the missing rows; return reason and checksum of every row, and the statistics of the training rows."""
    statistics = RunningStatistics(store.spec.n_mels)
    is_training = (store.clips["split"] == "train").tolist()
    results = []
    with Journal(store.folder) as journal, progress("features", len(store.clips), "clips") as advance:
        written = journal.checksums
        jobs = _list_jobs(store.clips, root, written)
        for result in _run_jobs(jobs, frontend, store.folder / FEATURES, pool):
            if result.reason == "missing" and Path(jobs[result.row].path).exists():
                raise StoreError(
                    f"{jobs[result.row].path} exists here, but not where a worker looked for it",
                    "all machines need the same files under the same paths; the same command continues",
                )
            if result.reason or result.crc32 != written.get(result.row):
                journal.write(result)
            if result.moments and is_training[result.row]:
                statistics.add(result.moments)
            results.append((result.reason, result.crc32))
            advance()
    return results, statistics


def _list_jobs(clips: pd.DataFrame, root: Path, written: dict[int, int]) -> list[ClipJob]:
    """Return one job per clip; `written` has the checksums of finished rows."""
    paths = [str(root / name) for name in recordings_of(clips)]
    if "start" not in clips:
        return [ClipJob(row, path, written.get(row)) for row, path in enumerate(paths)]
    places = clips[["start", "end", "short"]].itertuples(index=False)
    pairs = enumerate(zip(paths, places, strict=True))
    return [ClipJob(row, path, written.get(row), *place) for row, (path, place) in pairs]


def _chunks(jobs: list[ClipJob], size: int) -> Iterator[list[ClipJob]]:
    """Cut the jobs into chunks for the workers: some recordings, or many clips of one, which is then read once."""
    chunk: list[ClipJob] = []
    for job in jobs:
        same_recording = bool(chunk) and chunk[-1].path == job.path
        if len(chunk) >= (PIECES_PER_TASK if same_recording else size):
            yield chunk
            chunk = []
        chunk.append(job)
    if chunk:
        yield chunk


def _run_jobs(jobs: list[ClipJob], frontend: Frontend, features: Path, pool: Pool) -> Iterator[RowResult]:
    """Yield the result of every job, in order."""
    task = partial(extract_rows, frontend=frontend, features=features.absolute())
    chunks = _chunks(jobs, CLIPS_PER_TASK[frontend.backend])
    return map_in_order(pool, task, chunks, on_crash=lambda job: RowResult(job.row, CRASHED))


def _finished_table(store: FeatureStore, results: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """Return the table of clips with the reasons and checksums of all rows."""
    reasons = [reason for reason, _ in results]
    return store.clips.assign(
        status=[BAD if reason else OK for reason in reasons],
        reason=reasons,
        frames=[0 if reason else store.spec.frames for reason in reasons],
        crc32=[crc32 for _, crc32 in results],
    )
