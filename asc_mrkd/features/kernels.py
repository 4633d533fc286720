"""The compiled loops of the numpy back end: numpy would take several passes and several times as long for each.

The logarithm is a polynomial: log(2^e * m) = e log(2) + log(m), with 1 <= m < 2. Its error, 1e-6 or 5e-6 dB, is that of
float32 itself. The filterbank avoids the matrix product of BLAS, whose last bits depend on its number of threads.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from asc_mrkd.features.filterbank import AMIN


def _log_coefficients(degree: int) -> tuple[np.float32, ...]:
    """Return the coefficients, from the constant upwards, of log(m) as a polynomial in m - 1.5 for 1 <= m < 2."""
    m = np.linspace(1, 2, 10_001)
    fit = np.polynomial.Chebyshev.fit(m - 1.5, np.log(m), degree, domain=[-0.5, 0.5])
    return tuple(fit.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1]).coef.astype(np.float32))


COEFFICIENTS = _log_coefficients(degree=7)
LANES = 64
"""Number of frames that are filtered side by side."""
LOG_2 = np.float32(np.log(2))
LEAST_POWER = np.float32(AMIN)


def compiled(function: Callable) -> Callable:
    """Compile a function on its first call; the result is kept on the disk if a folder for it is writable."""
    try:
        return njit(function, fastmath=True, cache=True)  # the loops become vector instructions; there is no NaN
    except RuntimeError:  # neither the package nor the home folder may be written
        return njit(function, fastmath=True)


@compiled
def log_power(spectrum: np.ndarray, out: np.ndarray) -> None:
    """Write the natural logarithm of the power of `spectrum` into `out`; AMIN is the least power.

    Args:
        spectrum: (frame, 2 * bin), float32; real and imaginary parts alternate.
        out: (frame, bin), float32.
    """
    frames, bins = out.shape
    power = np.empty(bins, np.float32)
    mantissa = np.empty(bins, np.float32)
    exponent = np.empty(bins, np.float32)
    power_bits = power.view(np.int32)
    mantissa_bits = mantissa.view(np.int32)
    c0, c1, c2, c3, c4, c5, c6, c7 = COEFFICIENTS
    for frame in range(frames):
        for k in range(bins):
            real = spectrum[frame, 2 * k]
            imaginary = spectrum[frame, 2 * k + 1]
            power[k] = max(real * real + imaginary * imaginary, LEAST_POWER)
        for k in range(bins):
            exponent[k] = (power_bits[k] >> 23) - 127
            mantissa_bits[k] = power_bits[k] & 0x007FFFFF | 0x3F800000
        for k in range(bins):
            x = mantissa[k] - np.float32(1.5)
            upper = c4 + x * (c5 + x * (c6 + x * c7))
            out[frame, k] = exponent[k] * LOG_2 + (c0 + x * (c1 + x * (c2 + x * (c3 + x * upper))))


@compiled
def apply_filters(
    spectrum: np.ndarray,
    least: float,
    starts: np.ndarray,
    counts: np.ndarray,
    factors: np.ndarray,
    offset: np.ndarray,
    out: np.ndarray,
) -> None:
    """Multiply a spectrum with the filterbank: out = filters @ max(spectrum, least).T + offset.

    Args:
        spectrum: (frame, bin), float32.
        least: finite floor; smaller values count as this one.
        starts: first bin of each filter.
        counts: number of bins of each filter.
        factors: factors of all filters, one after the other, float32.
        offset: (mel,), float32.
        out: (mel, frame), float32.
    """
    frames, bins = spectrum.shape
    lanes = np.zeros((bins, LANES), np.float32)
    total = np.empty(LANES, np.float32)
    floor = np.float32(least)
    for first in range(0, frames, LANES):
        width = min(LANES, frames - first)
        for lane in range(width):
            for k in range(bins):
                lanes[k, lane] = max(spectrum[first + lane, k], floor)
        position = 0
        for mel in range(len(out)):
            for lane in range(LANES):
                total[lane] = offset[mel]
            for k in range(starts[mel], starts[mel] + counts[mel]):
                factor = factors[position]
                for lane in range(LANES):
                    total[lane] += factor * lanes[k, lane]
                position += 1
            for lane in range(width):
                out[mel, first + lane] = total[lane]
