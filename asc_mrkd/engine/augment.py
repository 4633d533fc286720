"""Augmentation of a whole batch at once: a table of transforms of the inputs, and Mixup of inputs and labels.

An augmentation is one function and one row of `TRANSFORMS`; its draws are a function of (seed, epoch, sample).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.keys import BatchKey
from asc_mrkd.mrkd.losses import MixedLabels


@dataclass(frozen=True)
class Transform:
    """One augmentation of stored inputs, applied before they are normalised."""

    apply: Callable[[Tensor, AugmentConfig, BatchKey], Tensor]
    """Function from inputs (batch, channel, height, width), options and key to inputs."""
    descriptions: dict[str, str]
    """Description of each option that switches it on, for a submission."""


def time_window(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Shift every sample (batch, channel, mel, frame) circularly in time and cut a stretch, in one gather."""
    frames = x.shape[-1]
    length = min(augment.crop_frames or frames, frames)
    if length == frames and not augment.roll_frames:
        return x
    shift = key.integers("roll", -augment.roll_frames, augment.roll_frames + 1)
    start = key.integers("crop", 0, frames - length + 1)
    index = ((start - shift)[:, None] + torch.arange(length, device=x.device)) % frames
    return x.gather(3, index[:, None, None, :].expand(-1, x.shape[1], x.shape[2], -1))


def random_crop_and_flip(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Cut every image (batch, channel, height, width) out of its zero-padded self and mirror it at random."""
    if not augment.pad and not augment.flip:
        return x
    top = key.integers("top", 0, 2 * augment.pad + 1)
    left = key.integers("left", 0, 2 * augment.pad + 1)
    return crop_and_flip(x, augment.pad, top, left, key.integers("flip", 0, 1 + augment.flip))


def crop_and_flip(x: Tensor, pad: int, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """Cut images out of their zero-padded selves and mirror some, in one gather.

    Args:
        x: (batch, channel, height, width).
        pad: zeros on every side.
        top: first row of each part (batch,), 0 to 2 pad.
        left: first column (batch,), 0 to 2 pad.
        mirrored: 1 for an image whose left and right change places (batch,).

    >>> one = torch.tensor([1])
    >>> crop_and_flip(torch.tensor([[[[1, 2], [3, 4]]]]), pad=1, top=0 * one, left=2 * one, mirrored=one).tolist()
    [[[[0, 0], [0, 2]]]]
    """
    batch, channel, height, width = x.shape
    column = torch.arange(width, device=x.device)
    columns = left[:, None] + torch.where(mirrored[:, None] == 1, width - 1 - column, column)
    rows = top[:, None] + torch.arange(height, device=x.device)
    places = rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]
    padded = F.pad(x, [pad] * 4).flatten(2)
    return padded.gather(2, places.view(batch, 1, -1).expand(-1, channel, -1)).view(x.shape)


TRANSFORMS: tuple[Transform, ...] = (
    Transform(time_window, {"roll_frames": "rolling in time", "crop_frames": "random crops"}),
    Transform(random_crop_and_flip, {"pad": "random crops of the padded image", "flip": "horizontal flips"}),
)
"""The transforms in the order in which they are applied; all of their options off leave the inputs as they are."""


def transform(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Apply all transforms to stored inputs (batch, channel, height, width)."""
    for one in TRANSFORMS:
        x = one.apply(x, augment, key)
    return x


def describe_augmentation(augment: AugmentConfig) -> list[str]:
    """Return the augmentations that are switched on, in words.

    >>> describe_augmentation(AugmentConfig(mixup=0.3, roll_frames=4))
    ['mixup', 'rolling in time']
    """
    descriptions = {"mixup": "mixup"}
    for one in TRANSFORMS:
        descriptions |= one.descriptions
    return [text for option, text in descriptions.items() if getattr(augment, option)]


def mixup(x: Tensor, labels: Tensor, augment: AugmentConfig, key: BatchKey) -> tuple[Tensor, MixedLabels]:
    """Mix every normalised sample with another one of its batch, with its own weight from Beta (Zhang et al. 2018).

    With `mixup_fold` the weight is max(w, 1 - w), as in CP-JKU's code: the sample itself dominates.
    """
    weight = key.beta("mixup", augment.mixup)
    if augment.mixup_fold:
        weight = torch.maximum(weight, 1 - weight)
    weight = weight.to(x)
    partner = key.permutation("partner")
    share = weight.view(-1, *[1] * (x.dim() - 1))
    return share * x + (1 - share) * x[partner], MixedLabels(labels, labels[partner], weight)
