"""What an experiment trains on and what it is scored on: a feature store or an image set."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asc_mrkd.config import ImagesConfig, StoreConfig
from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.datasets.images import ImageSet, channel_statistics, open_images, stratified
from asc_mrkd.deploy.model_file import normalise
from asc_mrkd.errors import DataError
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.store.layout import FeatureStore, open_store

Reader = Callable[[Tensor | slice], Tensor]
"""Positions (batch,), or a range of them, to inputs (batch, channel, height, width) on the training device."""


@dataclass(frozen=True)
class Samples:
    """Inputs, labels and their table.

    Attributes:
        read: the inputs at some positions, in the type they are stored in.
        labels: class indices (sample,) on the training device.
        table: CLIP_COLUMNS, one row per sample.
        mean: subtracted from a sample, broadcastable to it.
        std: then divided by.
    """

    read: Reader
    labels: Tensor
    table: pd.DataFrame
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def normalise(self, x: Tensor) -> Tensor:
        """Return stored inputs (batch, channel, height, width) with zero mean and unit deviation, float32."""
        return normalise(x, self.mean, self.std)


def make_samples(
    inputs: np.ndarray,
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
    return Samples(_reader(inputs, rows, device), labels, table[list(CLIP_COLUMNS)].reset_index(drop=True), mean, std)


def _reader(inputs: np.ndarray, rows: np.ndarray, device: torch.device) -> Reader:
    """Keep the rows on the device if they take less than half of its free memory, else read the memory map."""
    if len(rows) * inputs[0].nbytes < _free_bytes(device) / 2:
        resident = torch.from_numpy(inputs[rows]).to(device)
        return lambda where: resident[where]
    return lambda where: torch.from_numpy(inputs[rows[where if isinstance(where, slice) else where.cpu()]]).to(device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


CHOICE = 0
"""Seed of the choice of images for `subset` and `held_out`: the same images in every run."""


@dataclass(frozen=True)
class ExperimentData:
    """A data set, opened but not yet read.

    Attributes:
        classes: class names in the order of the indices.
        input_shape: (channel, height, width) of a sample; of a spectrogram (channel, mel, frame).
        frontend: what a spectrogram was made with; None for images.
        load: read the samples to train on and those to score onto a device.
    """

    classes: list[str]
    input_shape: tuple[int, ...]
    frontend: FrontendSpec | None
    load: Callable[[torch.device], tuple[Samples, Samples]]


def open_data(config: StoreConfig | ImagesConfig) -> ExperimentData:
    """Open the feature store or the image set that the data section of an experiment names.

    Raises:
        StoreError: no finished feature store.
        DataError: no image set, or one without a split that is asked for.
    """
    return OPENERS[config.domain.name](config)


def _open_scenes(config: StoreConfig) -> ExperimentData:
    store = open_store(config.folder)
    return ExperimentData(store.classes, store.spec.shape, store.spec, lambda device: _load_store(store, device))


def _open_images(config: ImagesConfig) -> ExperimentData:
    images = open_images(config.folder)
    for name in (*config.train.split("+"), "test"):
        if name not in images.splits:
            raise DataError(f"{images.root} has no split '{name}'", f"it has {', '.join(images.splits)}")
    shape = images.splits["train"].pixels.shape[1:]
    return ExperimentData(images.classes, shape, None, lambda device: _load_images(images, config, device))


OPENERS: dict[str, Callable[[Any], ExperimentData]] = {"scenes": _open_scenes, "images": _open_images}
"""Opener of the data section by the name of its domain."""


def _load_store(store: FeatureStore, device: torch.device) -> tuple[Samples, Samples]:
    mean, std = (values.reshape(1, -1, 1) for values in store.statistics())

    def samples(split: str) -> Samples:
        table = store.rows(split)
        if table.empty:
            raise DataError(f"{store.folder}: no usable {split} clips", "asc-mrkd check-data names what is wrong")
        return make_samples(store.features, table["row"].to_numpy(), table, store.classes, (mean, std), device)

    return samples("train"), samples("test")


def _load_images(images: ImageSet, config: ImagesConfig, device: torch.device) -> tuple[Samples, Samples]:
    """Choose the images; mean and deviation are those of the images to train on, a value a colour."""
    parts = [images.splits[name] for name in config.train.split("+")]
    pixels = np.concatenate([part.pixels for part in parts]) if len(parts) > 1 else parts[0].pixels
    table = pd.concat([part.table for part in parts], ignore_index=True)
    labels, rows = table["label"].to_numpy(), np.arange(len(table))
    scored = images.splits["test"].pixels, images.splits["test"].table
    if config.held_out:
        out = stratified(labels, config.held_out, CHOICE)
        rows, scored = np.setdiff1d(rows, out), (pixels[out], table.iloc[out])
    if config.subset:
        rows = rows[stratified(labels[rows], config.subset, CHOICE)]
    mean, std = (values.reshape(-1, 1, 1) for values in channel_statistics(pixels[rows]))
    train = make_samples(pixels, rows, table.iloc[rows], images.classes, (mean, std), device)
    return train, make_samples(scored[0], np.arange(len(scored[1])), scored[1], images.classes, (mean, std), device)
