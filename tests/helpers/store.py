"""A small recorded data set in the official layout, its front end, and the comparison of two stores."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
import yaml

from asc_mrkd.datasets import read_dataset
from asc_mrkd.features import FrontendSpec, load_spec
from asc_mrkd.store.layout import CLASSES, CLIPS, FEATURES, SPEC, STATS, SUMS
from helpers.cli import Outcome, run_cli

STORE_FILES = (FEATURES, CLIPS, SPEC, CLASSES, STATS, SUMS)
RATE = 32_000
SECONDS = 0.5


class Recordings(NamedTuple):
    """A data set folder and its list of clips."""

    root: Path
    clips: pd.DataFrame


def write_recordings(root: Path, count: int) -> Recordings:
    """Write noise of growing level as `count` clips of two classes, the first 70 % for training."""
    (root / "audio").mkdir(parents=True)
    (root / "evaluation_setup").mkdir()
    rng = np.random.default_rng(0)
    rows = []
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


def small_spec() -> FrontendSpec:
    """Return a front end like the paper's, for clips of half a second."""
    changes = {"name": "small", "clip_seconds": SECONDS, "n_mels": 40, "sample_rate": 16_000, "fmax": 8000.0}
    return load_spec("pmel256").model_copy(update=changes)


def write_spec(path: Path) -> Path:
    """Write the small front end as a YAML file."""
    path.write_text(yaml.safe_dump(small_spec().model_dump()))
    return path


def extract_by_verb(root: Path, out: Path, *options: object) -> Outcome:
    """Run `extract-features` on a data set with the small front end and one worker."""
    spec = write_spec(out.with_name("small.yaml"))
    return run_cli("extract-features", "--data", root, "--spec", spec, "--out", out, "--workers", 1, *options)


def differing_files(one: Path, other: Path) -> list[str]:
    """Name the files in which two stores differ by a byte, and those that only one has."""
    names = {path.name for store in (one, other) for path in store.iterdir()} | set(STORE_FILES)
    return sorted(name for name in names if _content(one / name) != _content(other / name))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
