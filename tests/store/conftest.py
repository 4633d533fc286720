"""A small recorded data set in the official layout, its front end, and the store of an undisturbed extraction."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import soundfile

from asc_mrkd.datasets import read_dataset
from asc_mrkd.features import FrontendSpec, load_spec
from asc_mrkd.store import extract

STORE_FILES = ("features.npy", "clips.csv", "spec.yaml", "stats.npz")
RATE, SECONDS = 32_000, 0.5


class Recordings(NamedTuple):
    """A data set folder and its list of clips."""

    root: Path
    clips: pd.DataFrame


def write_recordings(root: Path, count: int) -> Recordings:
    """Write noise of growing level as `count` clips of two classes, the first 70 % for training."""
    (root / "audio").mkdir(parents=True)
    (root / "evaluation_setup").mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(count):
        label = ("bus", "park")[i % 2]
        name = f"audio/{label}-city-{i}-{i}-a.wav"
        noise = rng.standard_normal((round(RATE * SECONDS), 2)) * 0.2 * (i + 1) / count
        soundfile.write(root / name, noise, RATE, subtype="PCM_24")
        rows.append((name, label, f"city-{i}", "a"))
    table = pd.DataFrame(rows, columns=["filename", "scene_label", "identifier", "source_label"])
    table.to_csv(root / "meta.csv", sep="\t", index=False)
    for fold, part in {"train": table[: int(count * 0.7)], "evaluate": table[int(count * 0.7) :]}.items():
        path = root / "evaluation_setup" / f"fold1_{fold}.txt"
        part[["filename", "scene_label"]].to_csv(path, sep="\t", index=False, header=False)
    return Recordings(root, read_dataset(root).clips)


@pytest.fixture(scope="session")
def spec() -> FrontendSpec:
    """Return a front end like the paper's, for clips of half a second."""
    changes = {"name": "small", "clip_seconds": SECONDS, "n_mels": 40, "sample_rate": 16_000, "fmax": 8000.0}
    return load_spec("pmel256").model_copy(update=changes)


@pytest.fixture
def record(tmp_path) -> Callable[[int], Recordings]:
    """Return a function that writes so many clips, which a test may damage."""
    return partial(write_recordings, tmp_path / "set")


@pytest.fixture
def recordings(record) -> Recordings:
    """Write ten clips."""
    return record(10)


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Recordings:
    """Write enough clips to interrupt their extraction."""
    return write_recordings(tmp_path_factory.mktemp("many") / "set", 120)


@pytest.fixture(scope="session")
def whole(many, spec, tmp_path_factory) -> Path:
    """Extract the many clips undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "store"
    extract(many.clips, many.root, spec, out)
    return out


@pytest.fixture(scope="session")
def differing() -> Callable[[Path, Path], list[str]]:
    """Return a function that names the files in which two stores differ by a byte, and what only one has."""

    def compare(one: Path, other: Path) -> list[str]:
        names = {path.name for store in (one, other) for path in store.iterdir()} | set(STORE_FILES)
        return sorted(name for name in names if content(one / name) != content(other / name))

    def content(path: Path) -> bytes | None:
        return path.read_bytes() if path.exists() else None

    return compare
