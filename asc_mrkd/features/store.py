"""The feature store: one memory map of spectrograms, its table of clips, its specification and its statistics."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from asc_mrkd.errors import StoreError
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.schema import differing_key, parse, read_yaml

FEATURES, CLIPS, SPEC, STATS = "features.npy", "clips.csv", "spec.yaml", "stats.npz"
COLUMNS = ["row", "filename", "label", "identifier", "source_label", "split", "frames", "status", "reason"]
PENDING, OK, BAD = "pending", "ok", "bad"


@dataclass(frozen=True)
class FeatureStore:
    """An opened store.

    Attributes:
        folder: where it is.
        spec: the front end it was made with.
        clips: a row a clip (see COLUMNS); `status` is ok, bad or pending.
        features: memory map (row, channel, mel, frame), float16, read-only.
    """

    folder: Path
    spec: FrontendSpec
    clips: pd.DataFrame
    features: np.ndarray

    @property
    def classes(self) -> list[str]:
        """Class names in alphabetical order; the position is the class index."""
        return sorted(set(self.clips["label"]) - {""})

    def rows(self, split: str) -> pd.DataFrame:
        """Return the usable clips of a split (train, test, unused)."""
        return self.clips[(self.clips["split"] == split) & (self.clips["status"] == OK)]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the training rows, a value a mel bin (mel,), float32."""
        try:
            with np.load(self.folder / STATS) as arrays:
                return arrays["mean"].astype(np.float32), arrays["std"].astype(np.float32)
        except (OSError, KeyError, ValueError):
            raise StoreError(
                f"{self.folder}: {STATS} is missing or damaged", "run the same extract-features command again"
            ) from None


def open_store(folder: str | os.PathLike[str]) -> FeatureStore:
    """Open a finished store.

    Raises:
        StoreError: no store there, or its extraction has not finished.
    """
    folder = Path(folder)
    store = _read(folder)
    pending = int((store.clips["status"] == PENDING).sum())
    if pending or not (folder / STATS).exists():
        raise StoreError(
            f"{folder}: extraction has not finished, {pending} clips are missing",
            "run the same extract-features command again; it continues",
        )
    return store


def _read(folder: Path) -> FeatureStore:
    missing = [name for name in (SPEC, CLIPS, FEATURES) if not (folder / name).exists()]
    if missing:
        hint = "make one: asc-mrkd extract-features --data DIR --spec pmel256 --out STORE"
        raise StoreError(f"{folder} is not a feature store: {missing[0]} is missing", hint)
    spec = parse(FrontendSpec, read_yaml(folder / SPEC), str(folder / SPEC))
    clips = pd.read_csv(folder / CLIPS, keep_default_na=False, dtype={"reason": str, "label": str})
    try:
        features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / FEATURES} is damaged: {error}", "remove the store and extract again") from None
    if features.shape != (len(clips), *spec.shape) or list(clips.columns) != COLUMNS:
        raise StoreError(f"{folder}: {FEATURES} and {CLIPS} do not belong together", "remove the store, extract again")
    return FeatureStore(folder, spec, clips, features)


def create_or_continue(folder: Path, clips: pd.DataFrame, spec: FrontendSpec) -> FeatureStore:
    """Make an empty store for `clips`, or open the one that is there if it was made for the same clips and spec.

    Raises:
        StoreError: the store there was made with another spec (the differing key is named) or from another list.
    """
    if (folder / CLIPS).exists():
        store = _read(folder)
        difference = differing_key(store.spec, spec)
        if difference:
            raise StoreError(f"{folder} was made with another spec: {difference.replace(' here', ' in the store')}",
                             "choose another --out")  # fmt: skip
        keys = ["filename", "label", "split"]
        if store.clips[keys].values.tolist() != clips[keys].values.tolist():
            raise StoreError(f"{folder} was made from another list of clips", "choose another --out")
        return store
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / SPEC, yaml.safe_dump(spec.model_dump(), sort_keys=False))
    shape = (len(clips), *spec.shape)
    np.lib.format.open_memmap(folder / FEATURES, mode="w+", dtype=np.float16, shape=shape).flush()
    table = clips.assign(row=range(len(clips)), frames=0, status=PENDING, reason="")
    write_table(folder, table[COLUMNS])
    return _read(folder)


def write_table(folder: Path, clips: pd.DataFrame) -> None:
    """Write the table of clips, whole or not at all."""
    with atomic_writer(folder / CLIPS, "w") as stream:
        clips.to_csv(stream, index=False, lineterminator="\n")


def write_statistics(store: FeatureStore) -> None:
    """Compute mean and unbiased standard deviation a mel bin over the training rows, in one streaming pass.

    Channels and frames are pooled; rows are merged by the formula of Chan et al. (1979) in float64.
    """
    count, mean, squares = 0, np.zeros(store.spec.n_mels), np.zeros(store.spec.n_mels)
    for row in store.rows("train")["row"]:
        values = np.asarray(store.features[row], dtype=np.float64).swapaxes(0, 1).reshape(store.spec.n_mels, -1)
        row_mean = values.mean(axis=1)
        total = count + values.shape[1]
        squares += ((values - row_mean[:, None]) ** 2).sum(axis=1)
        squares += (row_mean - mean) ** 2 * (count * values.shape[1] / total)
        mean += (row_mean - mean) * (values.shape[1] / total)
        count = total
    with atomic_writer(store.folder / STATS) as stream:
        np.savez(stream, mean=mean, std=np.sqrt(squares / max(count - 1, 1)), values=np.array(count))
