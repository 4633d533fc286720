"""Shards: a data set extracted part by part into separate stores, which are joined to one."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import yaml

from asc_mrkd.errors import ConfigError, StoreError
from asc_mrkd.files import write_if_different
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.schema import Count, Schema, differing_key, parse
from asc_mrkd.store.layout import (
    FEATURES,
    OK,
    PENDING,
    SHARD,
    FeatureStore,
    check_space,
    finish,
    finish_replacement,
    full_disk_explained,
    is_intact,
    open_store,
    write_table,
)
from asc_mrkd.store.origin import ORIGIN
from asc_mrkd.store.replacement import create_continue_or_replace
from asc_mrkd.store.sources import State, read_sources, write_sources
from asc_mrkd.store.statistics import RunningStatistics
from asc_mrkd.store.worker import RowFile, RowResult
from asc_mrkd.texts import read_yaml

AGAIN = "extract this shard again"
"""Hint for a shard that is damaged."""


class Shard(Schema):
    """One of `count` parts of a list, numbered from 1."""

    number: Count
    count: Count
    list_digest: str = ""
    """SHA-256 of the whole list, by which shards of another list are told apart; only in the file of a store."""

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def select(self, clips: pd.DataFrame) -> pd.DataFrame:
        """Return this part of a list of clips; the parts are contiguous, and their lengths differ by one at most.

        Raises:
            ConfigError: there are more parts than clips.
        """
        if self.count > len(clips):
            raise ConfigError(f"--shard {self}: there are only {len(clips)} clips", "make fewer shards")
        first = len(clips) * (self.number - 1) // self.count
        end = len(clips) * self.number // self.count
        return clips.iloc[first:end].reset_index(drop=True)


def parse_shard(text: str) -> Shard:
    """Read `3/8`.

    Raises:
        ConfigError: the text is not a shard.

    >>> str(parse_shard("3/8"))
    '3/8'
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", str(text))
    if not match or int(match[1]) > int(match[2]):
        raise ConfigError(f"--shard {text} is not a shard of the form 3/8", "write --shard 1/8 to --shard 8/8")
    return Shard(number=int(match[1]), count=int(match[2]))


def require_no_other_shard(folder: Path, shard: Shard) -> None:
    """Refuse the store of another shard, whose clips this one would replace.

    Raises:
        StoreError: with both shards.
    """
    if not (folder / SHARD).exists():
        return
    stored = _read_shard(folder)
    if (stored.number, stored.count) != (shard.number, shard.count):
        raise StoreError(f"{folder} is the store of shard {stored}, not {shard}", "give every shard its own --out")


def mark_shard(folder: Path, shard: Shard, clips: pd.DataFrame) -> None:
    """Write into a store the number of its shard, and the digest of the whole list of clips."""
    digest = hashlib.sha256(clips.to_csv(index=False).encode()).hexdigest()
    marked = shard.model_copy(update={"list_digest": digest})
    write_if_different(folder / SHARD, yaml.safe_dump(marked.model_dump(), sort_keys=False))


def join_stores(
    shards: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], progress: Progress = no_progress
) -> FeatureStore:
    """Join the stores of all shards of a data set; the result has the bytes of a store extracted in one piece.

    The origin of own recordings, `origin.yaml`, is copied if all shards have the same.

    Args:
        shards: folders of the stores of all shards, in any order.
        out: folder of the joined store; one that is unfinished, or older than a shard, is written again.
        progress: see `asc_mrkd.progress`.

    Returns:
        The joined store.

    Raises:
        StoreError: a shard is missing, given twice, unfinished, damaged, of another spec or of another list of clips;
            `out` is another store; disk full.

    Example:
        ```python
        for shard in ("1/2", "2/2"):
            extract("exp/scenes", f"exp/store-{shard[0]}", shard=shard)
        store = join_stores(["exp/store-1", "exp/store-2"], "exp/joined")
        ```
    """
    out = Path(out)
    stores = _open_all([Path(folder) for folder in shards])
    spec = stores[0].spec
    clips = pd.concat([store.clips for store in stores], ignore_index=True)
    clips["row"] = range(len(clips))
    classes = sorted({name for store in stores for name in store.classes})
    sources = _join_sources(stores)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out, StoreError):
        finish_replacement(out)
        joined = create_continue_or_replace(out, clips, spec, classes, sources)
        if not (joined.is_finished and is_intact(out) and joined.clips.equals(clips)):
            _join_rows(stores, joined, clips, sources, progress)
        del joined  # Windows moves no file that is in use
        finish_replacement(out)
        _copy_origin(stores, out)
    return open_store(out)


def _join_rows(
    shards: Sequence[FeatureStore],
    joined: FeatureStore,
    clips: pd.DataFrame,
    sources: dict[str, State],
    progress: Progress,
) -> None:
    """Write the rows of all shards and everything that is about them.

    Args:
        shards: stores of the shards, in order.
        joined: store to write, empty, begun or out of date.
        clips: the clips of all shards.
        sources: states of their recordings.
        progress: see `asc_mrkd.progress`.
    """
    if joined.is_finished:  # a shard was extracted again, or the store is damaged
        write_table(joined.folder, clips.assign(status=PENDING))
    with full_disk_explained(joined):
        check_space(joined)
        statistics = RunningStatistics(joined.spec.n_mels)
        is_training = (clips["split"] == "train").tolist()
        rows = int((clips["status"] == OK).sum())
        with progress("joining", rows, "rows") as advance:
            for result in _copy_rows(shards, joined.folder / FEATURES):
                if result.moments and is_training[result.row]:
                    statistics.add(result.moments)
                advance()
        write_sources(joined.folder, sources)
        finish(joined, clips, statistics)


def _join_sources(shards: Sequence[FeatureStore]) -> dict[str, State]:
    """Return the states of the recordings of all shards, but of those that changed between two shards."""
    joined: dict[str, State] = {}
    changed = set()
    for shard in shards:
        for name, state in read_sources(shard.folder).items():
            if joined.setdefault(name, state) != state:
                changed.add(name)
    return {name: state for name, state in joined.items() if name not in changed}


def _copy_origin(shards: Sequence[FeatureStore], out: Path) -> None:
    """Copy the origin of the shards into the joined store if all have the same; otherwise it has none."""
    files = [shard.folder / ORIGIN for shard in shards]
    origins = {file.read_text(encoding="utf-8") if file.exists() else None for file in files}
    origin = origins.pop()
    if origins or origin is None:
        (out / ORIGIN).unlink(missing_ok=True)
    else:
        write_if_different(out / ORIGIN, origin)


def _open_all(folders: Sequence[Path]) -> list[FeatureStore]:
    """Open the stores of all shards, in order; refuse an incomplete or mixed set."""
    if not folders:
        raise StoreError("no shard was given", "give the folders of all shards")
    shards: dict[Shard, FeatureStore] = {}
    for folder in folders:
        shard = _read_shard(folder)
        if shard in shards:
            raise StoreError(f"{shards[shard].folder} and {folder} are both shard {shard}", "give each shard once")
        shards[shard] = open_store(folder)
    first = next(iter(shards))
    for shard in shards:
        _require_same_set(first, shards[first], shard, shards[shard])
    complete = [first.model_copy(update={"number": number}) for number in range(1, first.count + 1)]
    missing = [str(shard) for shard in complete if shard not in shards]
    if missing:
        raise StoreError(
            f"shards are missing: {', '.join(missing)}", f"extract-features --shard {missing[0]} makes one"
        )
    return [shards[shard] for shard in complete]


def _require_same_set(first: Shard, store: FeatureStore, shard: Shard, other: FeatureStore) -> None:
    """Refuse a shard that is not of the same list, the same front end and the same number of parts as the first one."""
    if shard.count != first.count:
        raise StoreError(f"{store.folder} is shard {first}, {other.folder} is {shard}", "give the shards of one set")
    if shard.list_digest != first.list_digest:
        raise StoreError(
            f"{other.folder} and {store.folder} are shards of different lists of clips",
            "extract all shards from the same data with the same options",
        )
    if difference := differing_key(other.spec, store.spec):
        raise StoreError(f"{other.folder} was made with another spec than {store.folder}: {difference}")


def _read_shard(folder: Path) -> Shard:
    if not (folder / SHARD).exists():
        raise StoreError(
            f"{folder} is not the store of a shard", "shards are made by extract-features --shard 1/8 and so on"
        )
    return parse(Shard, read_yaml(folder / SHARD, AGAIN), str(folder / SHARD))


def _copy_rows(shards: Sequence[FeatureStore], features: Path) -> Iterator[RowResult]:
    """Copy the rows of all usable clips, compare each with its checksum and yield its result."""
    first = 0
    with open(features, "r+b", buffering=0) as stream:
        rows = RowFile(stream, features)
        for shard in shards:
            good = shard.clips[shard.clips["status"] == OK]
            for row, name, crc32 in zip(good["row"], good["filename"], good["crc32"], strict=True):
                result = rows.write(first + row, shard.features[row])
                if result.crc32 != crc32:
                    raise StoreError(f"{shard.folder}: row {row} ({name}) is damaged", AGAIN)
                yield result
            first += len(shard.clips)
