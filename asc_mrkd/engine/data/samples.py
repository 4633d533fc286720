"""The samples of an experiment, for training and for the test, from a feature store or an image set."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asc_mrkd.config import ImagesConfig, StoreConfig
from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.datasets.images import ImageSet, channel_statistics, open_images, stratified
from asc_mrkd.datasets.splits import classes_of_one_unit
from asc_mrkd.deploy.model_file import normalise
from asc_mrkd.errors import SHOWN, DataError, shell_command
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.machine import free_memory
from asc_mrkd.store.layout import CheckedRows, FeatureStore, open_store
from asc_mrkd.store.selection import clips_in_use, clips_of_all_devices, known_test_clips, of_devices

Gather = Callable[[Tensor | slice], Tensor]
"""Function from positions (batch,), or a range, to inputs (batch, channel, height, width) on the training device."""

SUBSET_SEED = 0
"""Seed of the choice of images for `subset` and `held_out`: the same images in every run."""


@dataclass(frozen=True)
class Samples:
    """Inputs, labels and their table."""

    gather: Gather
    """Function that returns the inputs at some positions, in their stored type."""
    labels: Tensor
    """Class indices (sample,) on the training device."""
    table: pd.DataFrame
    """CLIP_COLUMNS, one row per sample."""
    mean: Tensor
    """Mean to subtract from a sample, broadcastable to it."""
    std: Tensor
    """Standard deviation to divide by, of the same shape."""
    frontend: FrontendSpec | None = None
    """Front end of spectrograms; None for images."""
    responses: Tensor | None = None
    """Gains of the devices of the augmentation (response, mel), in the unit of the inputs; None if there are none."""

    def __len__(self) -> int:
        return len(self.table)

    def normalise(self, x: Tensor) -> Tensor:
        """Return stored inputs (batch, channel, height, width) with zero mean and unit deviation, float32."""
        return normalise(x, self.mean, self.std)


def make_samples(
    inputs: np.ndarray | CheckedRows,
    rows: np.ndarray,
    table: pd.DataFrame,
    classes: list[str],
    statistics: tuple[np.ndarray, np.ndarray],
    device: torch.device,
) -> Samples:
    """Put some rows of an array (row, channel, height, width) and their table (label in classes) on a device."""
    index_of = {name: index for index, name in enumerate(classes)}
    labels = torch.tensor([index_of[label] for label in table["label"]], device=device)
    mean, std = (torch.from_numpy(values).to(device, torch.float32) for values in statistics)
    return Samples(
        _make_gather(inputs, rows, device), labels, table[list(CLIP_COLUMNS)].reset_index(drop=True), mean, std
    )


def _make_gather(inputs: np.ndarray | CheckedRows, rows: np.ndarray, device: torch.device) -> Gather:
    """Keep the rows on the device if they take less than half of its free memory, else read the memory map."""
    if inputs[rows[:1]].nbytes * len(rows) < _free_bytes(device) / 2:
        resident = torch.from_numpy(inputs[rows]).to(device)
        return lambda where: resident[where]

    def gather(where: Tensor | slice) -> Tensor:
        places = where.cpu().numpy() if isinstance(where, Tensor) else where  # numpy takes a tensor of one for a number
        return torch.from_numpy(inputs[rows[places]]).to(device)

    return gather


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


class TrainAndTest(NamedTuple):
    """The samples of an experiment."""

    train: Samples
    test: Samples


@dataclass(frozen=True)
class ExperimentData:
    """A data set, opened but not yet read."""

    classes: list[str]
    """Class names in the order of the indices."""
    input_shape: tuple[int, ...]
    """(channel, mel, frame) of a spectrogram, (channel, height, width) of an image."""
    frontend: FrontendSpec | None
    """Front end of the spectrograms; None for images."""
    digest: str
    """SHA-256 of the content, hexadecimal; the same wherever the data lie."""
    load: Callable[[torch.device], TrainAndTest]
    """Function that reads the samples onto a device."""


def open_data(config: StoreConfig | ImagesConfig) -> ExperimentData:
    """Open the feature store or the image set that the data section of an experiment names.

    Raises:
        StoreError: the folder is not a finished feature store.
        DataError: the folder is not an image set, lacks a split, or holds other data than `config.digest` says.
    """
    data = OPENERS[config.domain.name](config)
    if config.digest not in (None, data.digest):
        raise DataError(
            f"{config.folder} holds other data than this experiment belongs to: their SHA-256 is "
            f"{data.digest[:12]} instead of {config.digest[:12]}",
            f"give the folder of its data, data.{config.domain.data_key}=DIR; data.digest=null takes any",
        )
    return data


def _open_scenes(config: StoreConfig) -> ExperimentData:
    store = open_store(config.folder)
    clips, digest = clips_of_all_devices(store, config)
    if config.is_cross_validation:
        _warn_of_untestable(classes_of_one_unit(clips))
        _require_clips_in_every_fold(store, config)
    load = partial(_load_store, store, clips, config)
    return ExperimentData(store.classes, store.spec.shape, store.spec, digest, load)


def _open_images(config: ImagesConfig) -> ExperimentData:
    images = open_images(config.folder)
    for name in (*config.train.split("+"), "test"):
        if name not in images.splits:
            raise DataError(f"{images.root} has no split '{name}'", f"it has {', '.join(images.splits)}")
    shape = images.splits["train"].pixels.shape[1:]
    return ExperimentData(
        images.classes, shape, None, images.digest, lambda device: _load_images(images, config, device)
    )


OPENERS: dict[str, Callable[[Any], ExperimentData]] = {"scenes": _open_scenes, "images": _open_images}
"""Opener of the data section by the name of its domain."""


def _warn_of_untestable(classes: Sequence[str]) -> None:
    if classes:
        names = ", ".join(classes[:SHOWN])
        verb = "is of one group" if len(classes) == 1 else "are of one group each"
        warnings.warn(f"{names} {verb}: no network is both trained and tested on such a class", stacklevel=2)


def _require_clips_in_every_fold(store: FeatureStore, config: StoreConfig) -> None:
    """Refuse a cross-validation before its first fold if a later one has nothing to train on or to test.

    Raises:
        DataError: the fold is named.
    """
    for fold in range(1, (config.folds or 0) + 1):
        one = config.model_copy(update={"fold": fold})
        clips = clips_in_use(store, one)
        for split in ("train", "test"):
            _clips_of_split(store, clips, one, split)


def _clips_of_split(store: FeatureStore, clips: pd.DataFrame, config: StoreConfig, split: str) -> pd.DataFrame:
    """Return the clips of a split, out of those in use.

    Raises:
        DataError: there are none.
    """
    chosen = clips[clips["split"] == split]
    if chosen.empty:
        of_devices = f" of {', '.join(config.devices)}" if config.devices is not None else ""
        in_fold = f" in fold {config.fold}" if config.fold is not None else ""
        command = shell_command("asc-mrkd", "check-data", store.folder)
        raise DataError(
            f"{store.folder}: no usable {split} clips{of_devices}{in_fold}", f"{command} names what is wrong"
        )
    return chosen


def _load_store(store: FeatureStore, clips: pd.DataFrame, config: StoreConfig, device: torch.device) -> TrainAndTest:
    """Read the clips of the splits train and test.

    Mean and deviation are those of the training clips of all recording devices, so that a trained network can be
    trained further on those of some.

    Args:
        store: feature store.
        clips: clips in use, of all devices.
        config: section `data` of the experiment.
        device: device that computes.

    Raises:
        DataError: a split has no clips.
    """
    used = of_devices(clips, config.devices)
    train = _clips_of_split(store, used, config, "train")
    test = _clips_of_split(store, used, config, "test")
    training_rows = clips.loc[clips["split"] == "train", "row"].to_numpy()
    is_part = config.folds is not None or config.train_list is not None
    statistics = store.statistics_of(training_rows) if is_part else store.statistics()
    mean, std = (values.reshape(1, -1, 1) for values in statistics)
    known = known_test_clips(store, config)
    if known:
        warnings.warn(known, stacklevel=2)

    def samples(table: pd.DataFrame) -> Samples:
        made = make_samples(CheckedRows(store), table["row"].to_numpy(), table, store.classes, (mean, std), device)
        return replace(made, frontend=store.spec)

    return TrainAndTest(samples(train), samples(test))


def _load_images(images: ImageSet, config: ImagesConfig, device: torch.device) -> TrainAndTest:
    """Choose the images; mean and deviation are those of the training images, one value per colour."""
    parts = [images.splits[name] for name in config.train.split("+")]
    pixels = np.concatenate([part.pixels for part in parts]) if len(parts) > 1 else parts[0].pixels
    table = pd.concat([part.table for part in parts], ignore_index=True)
    labels = table["label"].to_numpy()
    rows = np.arange(len(table))
    test_pixels = images.splits["test"].pixels
    test_table = images.splits["test"].table
    if config.held_out:
        held_out = stratified(labels, config.held_out, SUBSET_SEED)
        rows = np.setdiff1d(rows, held_out)
        test_pixels = pixels[held_out]
        test_table = table.iloc[held_out]
    if config.subset:
        rows = rows[stratified(labels[rows], config.subset, SUBSET_SEED)]
    mean, std = (values.reshape(-1, 1, 1) for values in channel_statistics(pixels[rows]))
    return TrainAndTest(
        make_samples(pixels, rows, table.iloc[rows], images.classes, (mean, std), device),
        make_samples(test_pixels, np.arange(len(test_table)), test_table, images.classes, (mean, std), device),
    )
