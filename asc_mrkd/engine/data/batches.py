"""Training batches: the samples of a key, augmented and normalised, and the further inputs of a method."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.data.augment import mixup, samples_meet, transform
from asc_mrkd.engine.data.keys import BatchKey
from asc_mrkd.engine.data.samples import Samples
from asc_mrkd.mrkd.losses import Labels, MixedLabels

ALL = slice(None)


@dataclass(frozen=True)
class Batch:
    """Inputs of a method in one step."""

    x: Tensor
    """Augmented inputs (batch, channel, height, width), float32."""
    labels: Labels
    """Class indices (batch,) or `MixedLabels`."""
    needed: dict[str, Any]
    """Further inputs by name (`methods.Method.needs`)."""


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
    """Make a batch, a function of its key.

    Args:
        samples: the training set.
        key: samples and epoch.
        augment: augmentation.
        needs: names of `methods.Method.needs`.
        before: key of the previous batch; None in the first step of a run.
        share: rows that this process of a data-parallel run takes.
        memory_format: memory format of the inputs.
    """
    if not samples_meet(augment):  # the rows of other processes need not be read
        key = key.rows(share)
        if before is not None:
            before = before.rows(share)
        share = ALL

    def inputs(key: BatchKey, rows: Tensor | None = None) -> tuple[Tensor, Labels]:
        x, labels = _mixed_inputs(samples, key, augment, rows)
        return x[share].contiguous(memory_format=memory_format), _label_rows(labels, share)

    x, labels = inputs(key)
    needed: dict[str, Any] = {}
    if "index" in needs:
        needed["index"] = key.index[share]
    if "second_view" in needs:
        needed["second_view"], _ = inputs(key.other_view())
    if "pair" in needs:
        needed["pair"], _ = inputs(key.other_view(), key.partners(samples.labels))
    if "previous" in needs:
        needed["previous"] = None if before is None else inputs(before.other_view())
    return Batch(x, labels, needed)


def _mixed_inputs(
    samples: Samples, key: BatchKey, augment: AugmentConfig, rows: Tensor | None
) -> tuple[Tensor, Labels]:
    """Augment, normalise and mix the samples of a key, or those at `rows`, and return them with their labels."""
    index = key.index if rows is None else rows
    x = transform(samples, index, augment, key)
    labels = samples.labels[index]
    if augment.mixup:
        return mixup(x, labels, augment, key)
    return x, labels


def _label_rows(labels: Labels, share: slice) -> Labels:
    if isinstance(labels, MixedLabels):
        return MixedLabels(labels.first[share], labels.second[share], labels.weight[share])
    return labels[share]
