"""The arrays of a front end: window, mel filterbank and A-weighting, computed once and used for every clip."""

import importlib
from dataclasses import dataclass

import numpy as np

from asc_mrkd.errors import ConfigError, first_line
from asc_mrkd.features.spec import FrontendSpec

AMIN = 1e-10
"""Smallest power that differs from zero."""

LOWEST_WEIGHTING = -80.0
"""Floor of the A-weighting (dB), which is minus infinity at 0 Hz; that of librosa."""

DB_PER_NEPER = 10 / np.log(10)
"""Factor from the natural logarithm of a power, which is fast to compute, to dB."""


@dataclass(frozen=True)
class FrontendArrays:
    """Factors and offsets of a front end, float32."""

    window: np.ndarray
    """Window of a frame (n_fft,)."""
    filters: np.ndarray
    """Mel filters (mel, n_fft / 2 + 1); for `perceptual_db` they turn natural logarithms of power into dB."""
    offset: np.ndarray
    """Constant per filter (mel, 1), added to the filtered spectrum; for `perceptual_db` the A-weighting. It passes
    through the filters as a constant because they act on dB."""


def compute_arrays(spec: FrontendSpec, filters: np.ndarray) -> FrontendArrays:
    """Compute the arrays of a front end.

    Args:
        spec: front end.
        filters: mel filterbank (mel, n_fft / 2 + 1).

    Raises:
        ConfigError: a mel filter lies between two frequencies of the Fourier transform.
    """
    from scipy.signal import get_window  # here, because a worker receives the arrays and need not import it

    length = spec.win_length or spec.n_fft
    before = (spec.n_fft - length) // 2
    after = spec.n_fft - length - before
    window = np.pad(get_window(spec.window, length), (before, after))
    empty = np.flatnonzero(~filters.any(axis=1))
    if len(empty):
        raise ConfigError(
            f"front end {spec.name}: {len(empty)} of {spec.n_mels} Mel filters are empty, the first is {empty[0]}",
            "fewer n_mels or a longer n_fft",
        )
    offset = np.zeros(spec.n_mels)
    if spec.scale == "perceptual_db":
        frequencies = np.arange(filters.shape[1]) * spec.sample_rate / spec.n_fft
        offset = filters @ a_weighting(frequencies)
        filters = filters * DB_PER_NEPER
    return FrontendArrays(
        window=window.astype(np.float32),
        filters=filters.astype(np.float32),
        offset=offset[:, None].astype(np.float32),
    )


def filter_ranges(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first bin, number of bins and factors of filters (mel, bin), from the first to the last that is not zero.

    >>> [part.tolist() for part in filter_ranges(np.array([[0, 1, 2, 0], [0, 0, 3, 4]]))]
    [[1, 2], [2, 2], [1, 2, 3, 4]]
    """
    starts = []
    counts = []
    factors = []
    for row in filters:
        bins = np.flatnonzero(row)
        part = row[bins[0] : bins[-1] + 1]
        starts.append(bins[0])
        counts.append(len(part))
        factors.append(part)
    return np.array(starts), np.array(counts), np.concatenate(factors)


def torchaudio_problem() -> str | None:
    """Return why torchaudio cannot be imported next to this torch, or None if it can.

    Its binary extension fits one release of torch: it raises OSError next to a CPU build and RuntimeError next to a
    build for another CUDA version.
    """
    try:
        importlib.import_module("torchaudio.functional")
    except (ImportError, OSError, RuntimeError) as error:
        return first_line(error)
    return None


def torch_filterbank(spec: FrontendSpec) -> np.ndarray:
    """Return the triangular filters (mel, n_fft / 2 + 1), float32, of a front end that runs on torch.

    The filterbank is torchaudio's, or librosa's if torchaudio cannot be imported. torchaudio computes in float32: the
    two agree to 1e-6 of a filter's peak with `mel_norm: slaney`, to 2e-5 with `none`.
    """
    if torchaudio_problem() is not None:
        return librosa_filterbank(spec)
    from torchaudio.functional import melscale_fbanks

    filters = melscale_fbanks(
        n_freqs=spec.n_fft // 2 + 1,
        f_min=spec.fmin,
        f_max=spec.fmax,
        n_mels=spec.n_mels,
        sample_rate=spec.sample_rate,
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
        mel_scale=spec.mel_scale,
    )
    return filters.T.numpy()


def librosa_filterbank(spec: FrontendSpec) -> np.ndarray:
    """Return the triangular filters (mel, n_fft / 2 + 1), float32, of librosa, which needs no torch."""
    from librosa.filters import mel

    return mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
    )


def a_weighting(frequencies: np.ndarray) -> np.ndarray:
    """Return the A-weighting in dB at frequencies in Hz (IEC 61672-1, Annex E), not below LOWEST_WEIGHTING.

    >>> a_weighting(np.array([0.0, 1000.0])).round(2).tolist()
    [-80.0, 0.0]
    """
    f2 = np.asarray(frequencies, dtype=np.float64) ** 2
    f1, f3, f4, f5 = (pole**2 for pole in (20.598997, 107.65265, 737.86223, 12194.217))
    with np.errstate(divide="ignore"):
        decibels = 2.0 + 20 * np.log10(f5 * f2**2 / ((f2 + f1) * (f2 + f5) * np.sqrt((f2 + f3) * (f2 + f4))))
    return np.maximum(decibels, LOWEST_WEIGHTING)
