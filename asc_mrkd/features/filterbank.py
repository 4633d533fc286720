"""The curves of a front end: window, Mel filterbank and A-weighting, computed once and used for every clip."""

import importlib
from dataclasses import dataclass

import numpy as np

from asc_mrkd.errors import ConfigError, first_line
from asc_mrkd.features.spec import FrontendSpec

AMIN = 1e-10
"""Smallest power that is told from zero."""

DB_PER_NEPER = 10 / np.log(10)
"""Turns the natural logarithm of a power, the fast one, into dB."""


@dataclass(frozen=True)
class Curves:
    """What a front end multiplies and adds, float32.

    Attributes:
        window: (n_fft,).
        filters: (mel, n_fft / 2 + 1); for `perceptual_db` they take natural logarithms of power and give dB.
        offset: (mel, 1), added to their product; for `perceptual_db` the A-weighting, which passes through the filters
            as a constant, since they act on dB.
    """

    window: np.ndarray
    filters: np.ndarray
    offset: np.ndarray


def curves_of(spec: FrontendSpec, filters: np.ndarray) -> Curves:
    """Compute the curves of a front end.

    Args:
        spec: the front end.
        filters: its Mel filterbank (mel, n_fft / 2 + 1).

    Raises:
        ConfigError: a Mel filter lies between two frequencies of the Fourier transform.
    """
    from scipy.signal import get_window  # here, because workers receive the curves and need not import it

    length = spec.win_length or spec.n_fft
    before = (spec.n_fft - length) // 2
    window = np.pad(get_window(spec.window, length), (before, spec.n_fft - length - before))
    empty = np.flatnonzero(~filters.any(axis=1))
    if len(empty):
        raise ConfigError(
            f"front end {spec.name}: {len(empty)} of {spec.n_mels} Mel filters are empty, the first is {empty[0]}",
            "fewer n_mels or a longer n_fft",
        )
    offset = np.zeros(spec.n_mels)
    if spec.scale == "perceptual_db":
        offset = filters @ a_weighting(np.arange(filters.shape[1]) * spec.sample_rate / spec.n_fft)
        filters = filters * DB_PER_NEPER
    return Curves(*(curve.astype(np.float32) for curve in (window, filters, offset[:, None])))


def torchaudio_problem() -> str | None:
    """Return why torchaudio cannot be imported beside this torch, or None when it can.

    Its binary extension fits one torch release: it raises OSError beside a CPU-only build and RuntimeError beside
    a release of another CUDA version.
    """
    try:
        importlib.import_module("torchaudio.functional")
    except (ImportError, OSError, RuntimeError) as error:
        return first_line(error)
    return None


def torch_filterbank(spec: FrontendSpec) -> np.ndarray:
    """Return the triangular filters (mel, n_fft / 2 + 1), float32, of a front end that runs on torch.

    torchaudio's filterbank, or librosa's where torchaudio cannot be imported. torchaudio computes in float32: the two
    agree to 1e-6 of a filter's peak with `mel_norm: slaney`, to 2e-5 with `none`.
    """
    if torchaudio_problem() is not None:
        return librosa_filterbank(spec)
    from torchaudio.functional import melscale_fbanks

    norm = None if spec.mel_norm == "none" else spec.mel_norm
    bins = spec.n_fft // 2 + 1
    return melscale_fbanks(
        bins, spec.fmin, spec.fmax, spec.n_mels, spec.sample_rate, norm=norm, mel_scale=spec.mel_scale
    ).T.numpy()


def librosa_filterbank(spec: FrontendSpec) -> np.ndarray:
    """Return the triangular filters (mel, n_fft / 2 + 1), float32: librosa's, which needs no torch."""
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


def a_weighting(frequencies: np.ndarray, floor: float = -80.0) -> np.ndarray:
    """Return the A-weighting in dB at frequencies in Hz (IEC 61672-1, Annex E), not below `floor`.

    >>> a_weighting(np.array([0.0, 1000.0])).round(2).tolist()
    [-80.0, 0.0]
    """
    f2 = np.asarray(frequencies, dtype=np.float64) ** 2
    f1, f3, f4, f5 = (pole**2 for pole in (20.598997, 107.65265, 737.86223, 12194.217))
    with np.errstate(divide="ignore"):
        decibels = 2.0 + 20 * np.log10(f5 * f2**2 / ((f2 + f1) * (f2 + f5) * np.sqrt((f2 + f3) * (f2 + f4))))
    return np.maximum(decibels, floor)
