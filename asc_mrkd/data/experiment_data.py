"""What an experiment trains on and what it is scored on: a feature store or an image set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from asc_mrkd.config import ImagesConfig, StoreConfig
from asc_mrkd.data.images import ImageSet, channel_statistics, open_images, stratified
from asc_mrkd.data.samples import Samples, make_samples
from asc_mrkd.errors import DataError
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.features.store import FeatureStore, open_store

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
    """Open what the data section of an experiment names.

    Raises:
        StoreError: no finished feature store.
        DataError: no image set, or one without a split that is asked for.
    """
    if isinstance(config, StoreConfig):
        store = open_store(config.store)
        return ExperimentData(store.classes, store.spec.shape, store.spec, lambda device: _load_store(store, device))
    images = open_images(config.images)
    for name in (*config.train.split("+"), "test"):
        if name not in images.splits:
            raise DataError(f"{images.root} has no split '{name}'", f"it has {', '.join(images.splits)}")
    shape = images.splits["train"].pixels.shape[1:]
    return ExperimentData(images.classes, shape, None, lambda device: _load_images(images, config, device))


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
