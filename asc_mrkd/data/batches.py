"""Training batches: the samples of a key, augmented and normalised."""

import torch
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.data.augment import mixup, random_crop_and_flip, time_window
from asc_mrkd.data.epoch import BatchKey
from asc_mrkd.data.samples import Samples
from asc_mrkd.mrkd.labels import Labels


@torch.no_grad()
def training_batch(samples: Samples, key: BatchKey, augment: AugmentConfig) -> tuple[Tensor, Labels]:
    """Return the augmented inputs (batch, channel, height, width), float32, and their labels."""
    stored = samples.read(key.index)
    x = samples.normalise(random_crop_and_flip(time_window(stored, augment, key), augment, key))
    labels = samples.labels[key.index]
    return mixup(x, labels, augment, key) if augment.mixup else (x, labels)
