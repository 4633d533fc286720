"""Augmentation of a whole batch at once: a table of transforms of the inputs, and Mixup of inputs and labels.

An augmentation is one function and one row of `TRANSFORMS`; its draws are a function of (seed, epoch, sample).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.data.keys import BatchKey
from asc_mrkd.engine.data.samples import Samples
from asc_mrkd.mrkd.losses import MixedLabels

STYLE_EPS = 1e-6
"""Number that keeps the deviation of a band from being zero, as in the public code of Freq-MixStyle."""


@dataclass(frozen=True)
class Transform:
    """One augmentation of the inputs of a batch."""

    apply: Callable[..., Tensor]
    """Function from inputs (batch, channel, height, width), options and key to inputs."""
    descriptions: dict[str, str]
    """Description of each option that switches it on, for a submission."""
    takes_normalised: bool = False
    """Whether it takes normalised inputs; the others take them as they are stored."""
    takes_responses: bool = False
    """Whether it takes a further argument, the gains of the devices, `Samples.responses`."""


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


def device_response(x: Tensor, augment: AugmentConfig, key: BatchKey, responses: Tensor | None) -> Tensor:
    """Let some samples (batch, channel, mel, frame) sound as if another device had recorded them.

    An impulse response that is shorter than a window multiplies the spectrum, so that each Mel band of a logarithmic
    spectrogram is raised by a constant. Added here it costs nothing, and every epoch draws again; convolved recordings
    would fill a store many times as large. Echoes that outlast a window are lost.

    Source: Morocutti et al., "Device-Robust Acoustic Scene Classification via Impulse Response Augmentation" (EUSIPCO
    2023), who convolve the recordings.

    Args:
        x: inputs as they are stored.
        augment: options.
        key: samples and epoch.
        responses: gain of every response and band (response, mel).
    """
    if responses is None:
        return x
    chosen = responses[key.integers("response", 0, len(responses))]
    is_filtered = key.uniform("filtered") < augment.response_share
    return x + (chosen * is_filtered[:, None])[:, None, :, None]


def freq_mixstyle(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Mix mean and deviation of every band with those of another sample of the batch: (batch, channel, mel, frame).

    Source: Kim et al., "Domain Generalization with Relaxed Instance Frequency-wise Normalization for Multi-device
    Acoustic Scene Classification" (Interspeech 2022), and Schmid et al. (DCASE 2022), who mix whole batches with the
    probability `freq_mixstyle`; here each sample is mixed with this probability.
    """
    if not augment.freq_mixstyle:
        return x
    mean = x.mean((1, 3), keepdim=True)
    deviation = (x.var((1, 3), keepdim=True) + STYLE_EPS).sqrt()
    weight = key.beta(key.in_view("style"), augment.freq_mixstyle_alpha).to(x).view(-1, 1, 1, 1)
    partner = key.permutation(key.in_view("style partner"))
    mixed_mean = weight * mean + (1 - weight) * mean[partner]
    mixed_deviation = weight * deviation + (1 - weight) * deviation[partner]
    mixed = (x - mean) / deviation * mixed_deviation + mixed_mean
    is_mixed = key.uniform("styled") < augment.freq_mixstyle
    return torch.where(is_mixed.view(-1, 1, 1, 1), mixed, x)


def spectrogram_masks(x: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Set a stretch of bands and a stretch of frames of every sample (batch, channel, mel, frame) to the mean, 0.

    Width and place are drawn as in torchaudio's FrequencyMasking and TimeMasking, for each sample. Source: Park et al.,
    "SpecAugment" (Interspeech 2019).
    """
    for axis, widest, purpose in ((2, augment.mask_bins, "masked bins"), (3, augment.mask_frames, "masked frames")):
        if not widest:
            continue
        size = x.shape[axis]
        width = key.uniform(purpose) * widest
        start = (key.uniform(f"{purpose}, start") * (size - width)).long()
        place = torch.arange(size, device=x.device)
        is_masked = (place >= start[:, None]) & (place < (start + width.long())[:, None])
        shape = (len(x), 1, size, 1) if axis == 2 else (len(x), 1, 1, size)
        x = x.masked_fill(is_masked.view(shape), 0.0)
    return x


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
    Transform(device_response, {"device_responses": "device impulse responses"}, takes_responses=True),
    Transform(freq_mixstyle, {"freq_mixstyle": "Freq-MixStyle"}, takes_normalised=True),
    Transform(
        spectrogram_masks,
        {"mask_bins": "masks along frequency", "mask_frames": "masks along time"},
        takes_normalised=True,
    ),
)
"""The transforms in the order in which they are applied; all of their options off leave the inputs as they are."""


def transform(samples: Samples, index: Tensor, augment: AugmentConfig, key: BatchKey) -> Tensor:
    """Return the samples at `index`, augmented and normalised: (batch, channel, height, width), float32."""
    x = _apply_all(samples.gather(index), samples, augment, key, to_normalised=False)
    return _apply_all(samples.normalise(x), samples, augment, key, to_normalised=True)


def _apply_all(x: Tensor, samples: Samples, augment: AugmentConfig, key: BatchKey, to_normalised: bool) -> Tensor:
    """Apply the transforms of stored inputs, or those of normalised ones."""
    for one in TRANSFORMS:
        if one.takes_normalised == to_normalised:
            further = (samples.responses,) if one.takes_responses else ()
            x = one.apply(x, augment, key, *further)
    return x


def samples_meet(augment: AugmentConfig) -> bool:
    """Return whether an input depends on other samples of its batch."""
    return bool(augment.mixup or augment.freq_mixstyle)


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
