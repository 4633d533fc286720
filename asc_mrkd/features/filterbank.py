"""Mel filterbank and A-weighting: the two frequency curves of a front end."""

import importlib

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.errors import first_line
from asc_mrkd.features.spec import FrontendSpec


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


def mel_filterbank(spec: FrontendSpec) -> Tensor:
    """Return the triangular filters (mel, n_fft / 2 + 1): Slaney mel scale, area-normalised, float32.

    torchaudio's filterbank, or librosa's where torchaudio cannot be imported; the two agree to 1e-6.
    """
    if torchaudio_problem() is None:
        from torchaudio.functional import melscale_fbanks

        return melscale_fbanks(
            spec.n_fft // 2 + 1, spec.fmin, spec.fmax, spec.n_mels, spec.sample_rate, norm="slaney", mel_scale="slaney"
        ).T.contiguous()
    import librosa

    return torch.from_numpy(
        librosa.filters.mel(
            sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax
        )
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
