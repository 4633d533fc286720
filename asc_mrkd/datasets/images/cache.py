"""The cache of an image set: pixels as memory maps and tables, written once into `asc-mrkd-cache/` in its folder.

Files: train.npy, train.csv (and so for every split), and cache.json with the classes, which makes the cache valid.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.datasets.images.image_set import (
    ImageSet,
    ImageSplit,
    Source,
    digest_of_set,
    digest_of_split,
    file_state,
)
from asc_mrkd.errors import DataError
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.texts import read_json

FOLDER = "asc-mrkd-cache"
DESCRIPTION = "cache.json"

VERSION = 2
"""Version of the arrays and tables; a cache of another version is written again."""


@contextmanager
def cache_lock(source: Source) -> Iterator[None]:
    """Wait until no other process writes the cache, and keep others waiting.

    Raises:
        OSError, DiskFullError: the folder cannot be written.
    """
    folder = source.root / FOLDER
    folder.mkdir(exist_ok=True)
    with exclusive_lock(folder, wait=True):
        yield


def write_cache(source: Source) -> None:
    """Read every split of a source and write it into the cache; the description, which makes it valid, comes last.

    Raises:
        DataError: the source cannot be read.
        OSError, DiskFullError: the cache cannot be written.
    """
    folder = source.root / FOLDER
    try:
        _write_files(source, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_cache(source: Source) -> ImageSet | None:
    """Open the cache of a source as memory maps; return None if it is missing, damaged or made from other files."""
    folder = source.root / FOLDER
    try:
        description = read_json(folder / DESCRIPTION, DataError)
        if description["fingerprint"] != _fingerprint(source):
            return None
        splits = {name: _open_split(folder, name, states) for name, states in description["splits"].items()}
        digest = digest_of_set(description["classes"], description["digests"])
        return ImageSet(source.root, source.layout, description["classes"], splits, digest)
    except (DataError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_files(source: Source, folder: Path) -> None:
    classes = source.classes()
    written = {}
    digests = {}
    for name, split in source.splits():
        with atomic_writer(folder / f"{name}.npy") as stream:
            np.save(stream, split.pixels)
        with atomic_writer(folder / f"{name}.csv", "w") as stream:
            split.table.to_csv(stream, index=False, lineterminator="\n")
        written[name] = _states_of_split(folder, name)
        digests[name] = digest_of_split(split)
    description = {"fingerprint": _fingerprint(source), "classes": classes, "splits": written, "digests": digests}
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2))


def _open_split(folder: Path, name: str, states: Any) -> ImageSplit:
    """Open a split whose files have the states that the description gives."""
    if states != _states_of_split(folder, name):
        raise ValueError(f"{folder}: {name} is not as it was written")
    pixels = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    if tuple(table.columns) != CLIP_COLUMNS or len(table) != len(pixels):
        raise ValueError(f"{folder}: the table of {name} does not belong to its images")
    return ImageSplit(pixels, table)


def _states_of_split(folder: Path, name: str) -> list[str]:
    return [file_state((folder / f"{name}{suffix}").stat()) for suffix in (".npy", ".csv")]


def _fingerprint(source: Source) -> str:
    """Return a digest of the names and states of the files."""
    lines = [f"{VERSION} {source.layout}\n"]
    lines += [f"{name}\t{state}\n" for name, state in source.file_states.items()]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
