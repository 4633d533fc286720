"""Training batches: the samples of a key, augmented and normalised, and what else a method asks for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.augment import mixup, random_crop_and_flip, time_window
from asc_mrkd.engine.keys import BatchKey
from asc_mrkd.engine.samples import Samples
from asc_mrkd.mrkd.losses import Labels, MixedLabels

ALL = slice(None)


@dataclass(frozen=True)
class Batch:
    """What a method gets in one step.

    Attributes:
        x: augmented inputs (batch, channel, height, width), float32.
        labels: class indices (batch,) or `MixedLabels`.
        needed: what the method asked for by name (`methods.Method.needs`).
    """

    x: Tensor
    labels: Labels
    needed: dict[str, Any]


@torch.no_grad()
def training_batch(
    samples: Samples,
    key: BatchKey,
    augment: AugmentConfig,
    needs: Collection[str] = (),
    before: BatchKey | None = None,
    share: slice = ALL,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Batch:
    """Make a batch; with the same key it is the same batch, whatever came before.

    Args:
        samples: the training set.
        key: which samples, of which epoch.
        augment: what happens to them.
        needs: names of `methods.Method.needs`.
        before: key of the batch before, None in the first step of a run.
        share: the rows that this process of a data-parallel run takes.
        memory_format: of the inputs.
    """
    if not augment.mixup:  # nothing crosses the batch: rows of others need not be read
        key, before, share = key.rows(share), before and before.rows(share), ALL

    def inputs(key: BatchKey, rows: Tensor | None = None) -> tuple[Tensor, Labels]:
        x, labels = _mixed_inputs(samples, key, augment, rows)
        return x[share].contiguous(memory_format=memory_format), _rows(labels, share)

    x, labels = inputs(key)
    needed: dict[str, Any] = {}
    if "index" in needs:
        needed["index"] = key.index[share]
    if "second_view" in needs:
        needed["second_view"], _ = inputs(key.other_view())
    if "pair" in needs:
        needed["pair"], _ = inputs(key.other_view(), key.partners(samples.labels))
    if "previous" in needs:
        needed["previous"] = before and inputs(before.other_view())
    return Batch(x, labels, needed)


def _mixed_inputs(
    samples: Samples, key: BatchKey, augment: AugmentConfig, rows: Tensor | None
) -> tuple[Tensor, Labels]:
    """Augment, normalise and mix the samples of a key, or others in their places, and return them with their labels."""
    index = key.index if rows is None else rows
    stored = samples.read(index)
    x = samples.normalise(random_crop_and_flip(time_window(stored, augment, key), augment, key))
    labels = samples.labels[index]
    return mixup(x, labels, augment, key) if augment.mixup else (x, labels)


def _rows(labels: Labels, share: slice) -> Labels:
    if isinstance(labels, MixedLabels):
        return MixedLabels(labels.first[share], labels.second[share], labels.weight[share])
    return labels[share]
