"""Write the golden vectors of every front end: features/golden/NAME.csv.

    python tools/make_golden.py             # all
    python tools/make_golden.py baseline40  # some

librosa computes them, on two signals of the length of a clip: S1, two sines, and S2, noise that any language can
repeat. A row holds one Mel bin of a signal: its values in the first, second, middle and last frame, and its mean over
all frames. About 33 bins of each front end are kept. They change only when a definition does.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.features import FrontendSpec, load_spec
from asc_mrkd.folders import resource_folder

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from helpers.librosa_reference import librosa_features

SIGNALS = ("S1", "S2")
DECIMALS = 5


def signal(name: str, rate: int, count: int) -> np.ndarray:
    """Return `count` samples (1, sample), float32, at `rate` Hz.

    S1 is 0.5 sin(2 pi 440 t) + 0.1 sin(2 pi 3000 t). S2 is 0.05 (2u - 1) with u = x / 2^32 and the generator
    x <- (1664525 x + 1013904223) mod 2^32, started from 12345; its first sample belongs to the second x.
    """
    if name == "S1":
        turns = 2 * np.pi * np.arange(count) / rate
        samples = 0.5 * np.sin(440 * turns) + 0.1 * np.sin(3000 * turns)
    else:
        samples = 0.05 * (2 * generator_states(count) / 2**32 - 1)
    return samples.astype(np.float32)[None]


def generator_states(count: int) -> np.ndarray:
    """Return the states (count,) of S2's generator; n steps applied to the first n states give the next n."""
    factor = 1664525
    summand = 1013904223
    found = np.array([(factor * 12345 + summand) % 2**32], dtype=np.uint64)
    while len(found) < count:
        found = np.append(found, (factor * found + summand) % 2**32)
        factor, summand = factor * factor % 2**32, (factor * summand + summand) % 2**32
    return found[:count]


def golden_table(compute: Callable[[np.ndarray], np.ndarray], spec: FrontendSpec) -> pd.DataFrame:
    """Return the rows of one front end, computed by a function from samples to features."""
    tables = []
    mel = np.unique(np.linspace(0, spec.n_mels - 1, 33).round().astype(int))
    for name in SIGNALS:
        features = compute(signal(name, spec.sample_rate, spec.samples))[0, mel]
        columns = {"first": 0, "second": 1, "middle": spec.frames // 2, "last": spec.frames - 1}
        values = {column: features[:, frame] for column, frame in columns.items()}
        tables.append(pd.DataFrame({"signal": name, "mel": mel, **values, "mean": features.mean(1, dtype=np.float64)}))
    return pd.concat(tables, ignore_index=True)


def librosa_table(spec: FrontendSpec) -> pd.DataFrame:
    """Return the rows computed by librosa."""
    return golden_table(partial(librosa_features, spec=spec), spec).round(DECIMALS)


def golden_path(name: str) -> Path:
    """Return the path of the golden vectors of a front end."""
    return resource_folder("features") / "golden" / f"{name}.csv"


def main() -> None:
    for name in sys.argv[1:] or sorted(path.stem for path in resource_folder("features").glob("*.yaml")):
        path = golden_path(name)
        path.parent.mkdir(exist_ok=True)
        librosa_table(load_spec(name)).to_csv(path, index=False, float_format=f"%.{DECIMALS}f")
        print(path)


if __name__ == "__main__":
    main()
