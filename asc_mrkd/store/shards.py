"""Shards: a data set extracted part by part, each into a store of its own, and joined to one."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import yaml

from asc_mrkd.errors import ConfigError, StoreError
from asc_mrkd.files import exclusive_lock, write_text
from asc_mrkd.schema import Count, Schema, differing_key, parse, read_yaml
from asc_mrkd.store.layout import (
    FEATURES,
    OK,
    FeatureStore,
    check_space,
    create_or_continue,
    finish,
    full_disk_explained,
    open_store,
)
from asc_mrkd.store.statistics import RunningStatistics
from asc_mrkd.store.worker import Outcome, RowFile

SHARD = "shard.yaml"
"""File that only the store of a shard has."""


class Shard(Schema):
    """One of `count` parts of a list, numbered from 1."""

    number: Count
    count: Count

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, clips: pd.DataFrame) -> pd.DataFrame:
        """Return this part of a list of clips; the parts are contiguous and as long as each other, give or take one.

        Raises:
            ConfigError: there are more parts than clips.
        """
        if self.count > len(clips):
            raise ConfigError(f"--shard {self}: there are only {len(clips)} clips", "make fewer shards")
        first, last = (len(clips) * number // self.count for number in (self.number - 1, self.number))
        return clips.iloc[first:last].reset_index(drop=True)


def parse_shard(text: str) -> Shard:
    """Read `3/8`.

    Raises:
        ConfigError: this is no shard.

    >>> str(parse_shard("3/8"))
    '3/8'
    """
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not match or int(match[1]) > int(match[2]):
        raise ConfigError(f"--shard {text} is no shard", "write --shard 1/8 to --shard 8/8")
    return Shard(number=int(match[1]), count=int(match[2]))


def mark_shard(folder: Path, shard: Shard) -> None:
    """Note in a store which shard it is."""
    write_text(folder / SHARD, yaml.safe_dump(shard.model_dump(), sort_keys=False))


def join(folders: Sequence[Path], out: Path, on_row: Callable[[], None] = lambda: None) -> FeatureStore:
    """Join the stores of all shards of a data set; the result has the bytes of one that was extracted in one piece.

    Args:
        folders: stores of shards, in any order.
        out: store to write; one that an earlier call has left unfinished is written again.
        on_row: called once for every row that is copied.

    Raises:
        StoreError: a shard is missing, unfinished, damaged or of another spec; `out` is another store; disk full.
    """
    shards = _sorted(folders)
    spec = shards[0].spec
    clips = pd.concat([shard.clips for shard in shards], ignore_index=True)
    clips["row"] = range(len(clips))
    out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out, StoreError):
        store = create_or_continue(out, clips, spec)
        if store.is_finished:
            return store
        with full_disk_explained(store):
            check_space(store)
            statistics, splits = RunningStatistics(spec.n_mels), clips["split"].tolist()
            with open(out / FEATURES, "r+b", buffering=0) as stream:
                rows = RowFile(stream.fileno(), out / FEATURES)
                for outcome in _copied(shards, rows):
                    if outcome.moments and splits[outcome.row] == "train":
                        statistics.add(outcome.moments)
                    on_row()
            finish(store, clips, statistics)
    return open_store(out)


def _sorted(folders: Sequence[Path]) -> list[FeatureStore]:
    """Open the stores of all shards, in order; refuse any but a complete set."""
    shards = {_shard_of(folder): open_store(folder) for folder in folders}
    (first, store), *others = shards.items()
    for shard, other in others:
        if shard.count != first.count:
            raise StoreError(
                f"{store.folder} is shard {first}, {other.folder} is {shard}", "give the shards of one set"
            )
        if difference := differing_key(other.spec, store.spec):
            raise StoreError(f"{other.folder} was made with another spec than {store.folder}: {difference}")
    whole = [Shard(number=number, count=first.count) for number in range(1, first.count + 1)]
    missing = [str(shard) for shard in whole if shard not in shards]
    if missing:
        raise StoreError(
            f"shards are missing: {', '.join(missing)}", f"extract-features --shard {missing[0]} makes one"
        )
    return [shards[shard] for shard in whole]


def _shard_of(folder: Path) -> Shard:
    if not (folder / SHARD).exists():
        raise StoreError(f"{folder} is no shard", "shards are made by extract-features --shard 1/8 and so on")
    return parse(Shard, read_yaml(folder / SHARD), str(folder / SHARD))


def _copied(shards: Sequence[FeatureStore], rows: RowFile) -> Iterator[Outcome]:
    """Copy the rows that hold features, compare each with its checksum and yield its outcome."""
    first = 0
    for shard in shards:
        good = shard.clips[shard.clips["status"] == OK]
        for row, name, crc32 in zip(good["row"], good["filename"], good["crc32"], strict=True):
            outcome = rows.write(first + row, shard.features[row])
            if outcome.crc32 != crc32:
                raise StoreError(f"{shard.folder}: row {row} ({name}) is damaged", "extract this shard again")
            yield outcome
        first += len(shard.clips)
