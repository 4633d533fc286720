"""The compiled loops against double precision and against a matrix product."""

import numpy as np
import pytest

from asc_mrkd.features import kernels
from asc_mrkd.features.kernels import apply_filters, compiled, log_power


def test_logarithm_of_the_power_is_that_of_double_precision():
    rng = np.random.default_rng(0)
    scale = np.logspace(-12, 12, 2050, dtype=np.float32)
    spectrum = (rng.standard_normal((64, 2050)) * scale).astype(np.float32)
    out = np.empty((64, 1025), np.float32)
    log_power(spectrum, out)
    real, imaginary = spectrum[:, ::2].astype(np.float64), spectrum[:, 1::2].astype(np.float64)
    expected = 10 * np.log10(np.maximum(real**2 + imaginary**2, 1e-10))
    np.testing.assert_allclose(10 / np.log(10) * out, expected, rtol=0, atol=3e-5)


def test_powers_of_two_and_silence():
    power = 2.0 ** np.arange(-33, 100)
    spectrum = np.stack([np.sqrt(power), 0 * power], axis=1).reshape(1, -1).astype(np.float32)
    spectrum[0, 0] = 0
    out = np.empty((1, len(power)), np.float32)
    log_power(spectrum, out)
    np.testing.assert_allclose(out[0, 1:], np.log(power[1:]), rtol=3e-7, atol=2e-6)
    assert out[0, 0] == pytest.approx(np.log(1e-10), rel=1e-6)


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 200])
def test_filters_are_a_matrix_product(frames):
    rng = np.random.default_rng(frames)
    starts, counts = np.array([0, 1, 5, 30]), np.array([1, 7, 40, 3])
    factors, offset = rng.random(counts.sum()).astype(np.float32), rng.random(4).astype(np.float32)
    filters = np.zeros((4, 50))
    for row, start, part in zip(filters, starts, np.split(factors, counts.cumsum()[:-1]), strict=True):
        row[start : start + len(part)] = part
    spectrum, out = rng.standard_normal((frames, 50)).astype(np.float32), np.empty((4, frames), np.float32)
    apply_filters(spectrum, -0.5, starts, counts, factors, offset, out)
    expected = filters @ np.maximum(spectrum, -0.5).T + offset[:, None]
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-5)


def test_loops_are_compiled_where_nothing_can_be_kept(monkeypatch):
    def njit(function, fastmath, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(kernels, "njit", njit)
    assert compiled(len) is len
