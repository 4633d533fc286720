"""A store whose list of clips has changed: its replacement takes over the rows of the recordings that have not.

The replacement is an ordinary store in a folder of the old one, which stays as it is until the replacement is finished
and `layout.finish_replacement` puts it into its place.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asc_mrkd.datasets.recordings import recordings_of
from asc_mrkd.errors import StoreError
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.progress import Progress
from asc_mrkd.store.journal import Journal
from asc_mrkd.store.layout import (
    FEATURES,
    JOURNAL,
    NEXT,
    OK,
    PIECE_COLUMNS,
    FeatureStore,
    another_list,
    create_or_continue,
    create_or_open,
    differing_clip,
)
from asc_mrkd.store.sources import State, read_sources
from asc_mrkd.store.worker import RowFile


def create_continue_or_replace(
    out: Path, clips: pd.DataFrame, spec: FrontendSpec, classes: Sequence[str] | None, states: dict[str, State]
) -> FeatureStore:
    """Return the store to fill: that in `out`, or its unfinished replacement if its list of clips has changed.

    Args:
        out: folder of the store; see `create_or_continue` also for the next three.
        clips: list of clips.
        spec: front end.
        classes: class names in the order of their indices.
        states: states of the recordings, see `sources.list_sources`.

    Raises:
        StoreError: see `create_or_continue`; a list is another one if no recording of the store is in it, unchanged.
    """
    store = create_or_open(out, clips, spec, classes)
    difference = differing_clip(store.clips, clips)
    if not difference:
        _remove_replacement(out)
        return store
    if not _unchanged_recordings(store, states):
        raise another_list(out, difference)
    warnings.warn(
        f"the list of clips has changed since {out} was made: {difference}; "
        "the store is replaced as soon as the new one is finished",
        stacklevel=2,
    )
    try:
        return create_or_continue(out / NEXT, clips, spec, classes)
    except StoreError:  # it was begun for yet another list
        _remove_replacement(out)
        return create_or_continue(out / NEXT, clips, spec, classes)


def _remove_replacement(out: Path) -> None:
    if (out / NEXT).exists():
        shutil.rmtree(out / NEXT)


def _unchanged_recordings(store: FeatureStore, states: dict[str, State]) -> set[str]:
    """Name the recordings of `states` that are as they were when they were read into the store."""
    known = read_sources(store.folder)
    return {name for name in recordings_of(store.clips) if name in states and states[name] == known.get(name)}


def written_rows(store: FeatureStore) -> dict[int, int]:
    """Return the checksums of the rows of a store, finished or not, that have been written."""
    if (store.folder / JOURNAL).exists():
        return Journal(store.folder).checksums
    good = store.clips[store.clips["status"] == OK]
    return {int(row): int(crc32) for row, crc32 in zip(good["row"], good["crc32"], strict=True)}


def take_over_rows(old: FeatureStore, new: FeatureStore, states: dict[str, State], progress: Progress) -> None:
    """Copy the rows of unchanged recordings that `new` does not have yet, and write them into its journal.

    Args:
        old: the store that is replaced.
        new: its replacement.
        states: states of the recordings now.
        progress: see `asc_mrkd.progress`.
    """
    written = written_rows(old)
    unchanged = _unchanged_recordings(old, states)
    recordings = recordings_of(old.clips)
    kept = old.clips[recordings.isin(unchanged) & old.clips["row"].isin(list(written))]
    sources = dict(zip(_places(kept, new), kept["row"], strict=True))
    with Journal(new.folder) as journal, open(new.folder / FEATURES, "r+b", buffering=0) as stream:
        rows = RowFile(stream, new.folder / FEATURES)
        copies = [(row, sources[place]) for row, place in enumerate(_places(new.clips, new)) if place in sources]
        copies = [(row, source) for row, source in copies if row not in journal.checksums]
        with progress("features taken over", len(copies), "clips") as advance:
            for row, source in copies:
                result = rows.write(row, old.features[source])
                if result.crc32 == written[source]:  # otherwise it is damaged, and is extracted
                    journal.write(result)
                advance()


def _places(clips: pd.DataFrame, new: FeatureStore) -> list[tuple[Any, ...]]:
    """Return what the features of each clip depend on: its recording, and its part where there are parts."""
    if "start" not in new.clips:
        return list(zip(recordings_of(clips)))
    if "start" not in clips:  # a whole recording is the part from its start to its end
        clips = clips.assign(recording=clips["filename"], start=0.0, end=new.spec.clip_seconds, short="")
    return list(clips[list(PIECE_COLUMNS)].itertuples(index=False, name=None))
