"""Crop and mirror image of a batch against one image at a time."""

import numpy as np
import pytest
import torch

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.data.augment import crop_and_flip, random_crop_and_flip, transform
from asc_mrkd.engine.data.keys import Epoch
from asc_mrkd.engine.data.samples import Samples


def plain_crop_and_flip(image: np.ndarray, pad: int, top: int, left: int, mirrored: bool) -> np.ndarray:
    """Pad one image (channel, height, width) with zeros, cut it out, mirror it."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    part = padded[:, top : top + height, left : left + width]
    return part[:, :, ::-1] if mirrored else part


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_every_offset_equals_the_plain_way(memory_format):
    rng = np.random.default_rng(0)
    offsets = [(top, left) for top in range(9) for left in range(9)]
    images = rng.integers(1, 256, (len(offsets), 3, 32, 32), dtype=np.uint8)
    mirrored = rng.random(len(offsets)) < 0.5
    top, left = torch.tensor(offsets).unbind(1)
    x = torch.from_numpy(images).contiguous(memory_format=memory_format)
    fast = crop_and_flip(x, 4, top, left, torch.from_numpy(mirrored).long()).numpy()
    for index, (row, column) in enumerate(offsets):
        expected = plain_crop_and_flip(images[index], 4, row, column, mirrored[index])
        np.testing.assert_array_equal(fast[index], expected)


def test_zeros_come_before_normalisation():
    """The new border of a shifted black image is black as well, not of the mean colour."""
    black = Samples(
        gather=lambda where: torch.zeros(16, 3, 8, 8),
        labels=torch.zeros(16),
        table=None,
        mean=torch.tensor([125.0, 124, 114]).view(3, 1, 1),
        std=torch.full((3, 1, 1), 60.0),
    )
    (key,) = Epoch(seed=0, number=0, count=16).batches(16)
    x = transform(black, key.index, AugmentConfig(pad=4), key)
    assert torch.equal(x, black.normalise(black.gather(key.index)))


def test_draws_are_uniform_and_differ_between_epochs():
    augment = AugmentConfig(pad=4, flip=True)
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1  # where the middle goes tells the offsets; a mirrored offset is as likely
    places = []
    for number in range(3):
        (key,) = Epoch(seed=0, number=number, count=8100).batches(8100)
        y = random_crop_and_flip(x.expand(8100, -1, -1, -1), augment, key)
        places.append(y.flatten(1).argmax(1))
        counts = torch.bincount(places[-1], minlength=81)
        assert counts.min() > 60  # 100 expected, standard deviation 10
        assert counts.max() < 140
    assert not torch.equal(places[0], places[1])


def test_half_of_the_images_are_mirrored():
    (key,) = Epoch(seed=0, number=0, count=4000).batches(4000)
    x = torch.tensor([[[[1.0, 0.0]]]]).expand(4000, -1, -1, -1)
    y = random_crop_and_flip(x, AugmentConfig(flip=True), key)
    assert y[:, 0, 0, 1].mean().item() == pytest.approx(0.5, abs=0.03)


def test_nothing_asked_for_nothing_done():
    (key,) = Epoch(seed=0, number=0, count=4).batches(4)
    x = torch.randn(4, 3, 8, 8)
    assert random_crop_and_flip(x, AugmentConfig(), key) is x
