"""Channel statistics against numpy in double precision."""

import numpy as np
import pytest

from asc_mrkd.datasets.images import channel_statistics
from asc_mrkd.errors import DataError


@pytest.mark.slow
def test_equals_numpy_over_a_memory_map_of_many_parts(tmp_path):
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.binomial(255, p, (3000, 32, 32)) for p in (0.1, 0.5, 0.9)], axis=1).astype(np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mean, std = channel_statistics(np.load(tmp_path / "pixels.npy", mmap_mode="r"))
    assert mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3), dtype=np.float64), rtol=1e-12)


def test_equal_pixels_have_no_deviation_at_all():
    mean, std = channel_statistics(np.full((7, 3, 5, 3), 201, dtype=np.uint8))
    assert mean.tolist() == [201.0] * 3
    assert std.tolist() == [0.0] * 3


def test_one_pixel_in_a_million_counts():
    pixels = np.full((1000, 1, 32, 32), 255, dtype=np.uint8)
    pixels[500, 0, 3, 3] = 0
    share = 1 / pixels.size
    mean, std = channel_statistics(pixels)
    assert mean[0] == pytest.approx(255 * (1 - share), rel=1e-15)
    assert std[0] == pytest.approx(255 * np.sqrt(share * (1 - share)), rel=1e-14)


def test_no_image():
    with pytest.raises(DataError, match="no images"):
        channel_statistics(np.zeros((0, 3, 32, 32), dtype=np.uint8))
