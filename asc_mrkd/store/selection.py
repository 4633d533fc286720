"""The clips of a store that an experiment takes, and the test clips among them that it was trained on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.config import StoreConfig
from asc_mrkd.datasets.clip_lists import read_list
from asc_mrkd.datasets.splits import fold_numbers
from asc_mrkd.errors import DataError, suggest
from asc_mrkd.store.check import find_known_test_clips
from asc_mrkd.store.layout import OK, FeatureStore


def clips_in_use(store: FeatureStore, config: StoreConfig) -> pd.DataFrame:
    """Return the usable clips of a store that a data section names by fold, list and devices, with their splits.

    In a cross-validation without a fold all of them are in the split train.

    Raises:
        DataError: the list cannot be read, or has a clip that is not a training clip of the store.
    """
    clips, _ = clips_of_all_devices(store, config)
    return of_devices(clips, config.devices)


def clips_of_all_devices(store: FeatureStore, config: StoreConfig) -> tuple[pd.DataFrame, str]:
    """Return the usable clips by fold and list, with their splits; and the digest of the store and the list."""
    if config.devices is not None:
        _require_known_devices(store, config.devices)
    clips = store.clips[store.clips["status"] == OK]
    if config.folds is not None:
        clips = clips[clips["split"] != "unused"]
        parts = np.where(fold_numbers(clips, config.folds) == config.fold, "test", "train")
        clips = clips.assign(split=parts)
    if config.train_list is not None:
        return _with_train_list(store, clips, config.folds is not None, Path(config.train_list))
    return clips, store.digest


def _require_known_devices(store: FeatureStore, devices: Sequence[str]) -> None:
    """Refuse a device that no clip is of, as a typing error: the others would be taken without a word.

    Raises:
        DataError: the device is named.
    """
    known = sorted(set(store.clips["source_label"]) - {""})
    for device in devices:
        if device not in known:
            hint = suggest(device, known) or "its clips do not say which device recorded them"
            raise DataError(f"{store.folder} has no clip of a recording device '{device}'", hint)


def of_devices(clips: pd.DataFrame, devices: list[str] | None) -> pd.DataFrame:
    """Return the clips of these recording devices; None takes all."""
    return clips if devices is None else clips[clips["source_label"].isin(devices)]


def _with_train_list(store: FeatureStore, clips: pd.DataFrame, has_folds: bool, path: Path) -> tuple[pd.DataFrame, str]:
    """Take the training clips that are not in a list out of use; also return the digest of the store and the list.

    With folds the list may name any clip, as each is for testing in one fold and for training in the others.

    Raises:
        DataError: the list cannot be read, or has a clip that is not a training clip of the store.
    """
    listed, _ = read_list(path.parent, path)
    names = set(listed["filename"])
    is_training = clips["split"] == "train"
    known = clips if has_folds else clips[is_training]
    unknown = sorted(names - set(known["filename"]))
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(names)} names are not those of training clips of {store.folder}, "
            f"first {unknown[0]}",
            "the names are those of meta.csv, as audio/airport-barcelona-0-0-0-a.wav",
        )
    is_left_out = is_training & ~clips["filename"].isin(names)
    text = "\n".join([store.digest, *sorted(names)])
    return clips[~is_left_out], hashlib.sha256(text.encode()).hexdigest()


def known_test_clips(store: FeatureStore, config: StoreConfig) -> str:
    """Say how many test clips of an experiment, in all its folds, are training clips under another name; "" if none is.

    Raises:
        DataError: the list of the experiment cannot be read, or has a clip that is not a training clip of the store.
    """
    parts = [config]
    if config.is_cross_validation:
        parts = [config.model_copy(update={"fold": fold}) for fold in range(1, (config.folds or 0) + 1)]
    known = [finding for part in parts for finding in find_known_test_clips(store, clips_in_use(store, part))]
    if not known:
        return ""
    clips = "1 test clip is a training clip" if len(known) == 1 else f"{len(known)} test clips are training clips"
    example = f"{known[0].subject} is {known[0].detail}"
    return f"{clips} under another name, which makes the accuracy too high: {example}"
