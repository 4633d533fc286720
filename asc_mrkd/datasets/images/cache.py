"""The images of a set, once read, as memory maps beside it: asc-mrkd-cache/train.npy, train.csv, ..., cache.json."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.datasets.images.image_set import ImageSet, ImageSplit, Source, stamp
from asc_mrkd.files import atomic_writer, write_text

FOLDER, DESCRIPTION = "asc-mrkd-cache", "cache.json"

VERSION = 1
"""Goes up when the arrays or tables would come out differently."""


def write_cache(source: Source) -> None:
    """Read every split of a source and write it down; the description that makes it valid comes last.

    Raises:
        DataError: the source cannot be read.
        OSError: the cache cannot be written.
    """
    folder = source.root / FOLDER
    try:
        _write(source, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_cache(source: Source) -> ImageSet | None:
    """Open the cache of a source as memory maps; None if there is none, or it is damaged or of other files."""
    folder = source.root / FOLDER
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["fingerprint"] != _fingerprint(source):
            return None
        splits = {name: _read_split(folder, name, stamps) for name, stamps in description["splits"].items()}
        return ImageSet(source.root, source.layout, description["classes"], splits)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(source: Source, folder: Path) -> None:
    classes, written = source.classes(), {}
    for name, split in source.splits():
        with atomic_writer(folder / f"{name}.npy") as stream:
            np.save(stream, split.pixels)
        with atomic_writer(folder / f"{name}.csv", "w") as stream:
            split.table.to_csv(stream, index=False, lineterminator="\n")
        written[name] = _stamps(folder, name)
    description = {"fingerprint": _fingerprint(source), "classes": classes, "splits": written}
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2))


def _read_split(folder: Path, name: str, stamps: Any) -> ImageSplit:
    if stamps != _stamps(folder, name):
        raise ValueError(f"{folder}: {name} is not as it was written")
    pixels = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    if tuple(table.columns) != CLIP_COLUMNS or len(table) != len(pixels):
        raise ValueError(f"{folder}: the table of {name} does not belong to its images")
    return ImageSplit(pixels, table)


def _stamps(folder: Path, name: str) -> list[str]:
    return [stamp((folder / f"{name}{suffix}").stat()) for suffix in (".npy", ".csv")]


def _fingerprint(source: Source) -> str:
    """Return a digest of the names, sizes and times of change of the files."""
    lines = [f"{name}\t{state}\n" for name, state in source.stamps.items()]
    return hashlib.sha256(f"{VERSION} {source.layout}\n{''.join(lines)}".encode(errors="surrogateescape")).hexdigest()
