"""The front end in numpy alone: nothing is compiled, so that a program that reads one recording starts at once."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from asc_mrkd.features.filterbank import AMIN, DB_PER_NEPER, FrontendArrays
from asc_mrkd.features.spec import FrontendSpec


class PlainTransform:
    """Signals (signal, sample) to features (signal, mel, frame), float32."""

    def __init__(self, spec: FrontendSpec, arrays: FrontendArrays) -> None:
        self._spec = spec
        self._arrays = arrays

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Return the features of all signals, computed one after the other."""
        return np.stack([self._features(signal) for signal in signals])

    def _features(self, signal: np.ndarray) -> np.ndarray:
        """Map (sample,) to (mel, frame)."""
        spectrum = self._spectrum(signal)
        if self._spec.top_db is not None:
            np.log(np.maximum(spectrum, np.float32(AMIN)), out=spectrum)
            np.maximum(spectrum, spectrum.max() - np.float32(self._spec.top_db / DB_PER_NEPER), out=spectrum)
        features = self._arrays.filters @ spectrum.T + self._arrays.offset
        if self._spec.log_offset is not None:
            features = np.log(features + np.float32(self._spec.log_offset))
        return features

    def _spectrum(self, signal: np.ndarray) -> np.ndarray:
        """Map (sample,) to power or magnitude (frame, bin), float32."""
        half = self._spec.n_fft // 2
        padded = np.pad(signal, half, mode="reflect")
        frames = sliding_window_view(padded, self._spec.n_fft)[:: self._spec.hop_length]
        frames = frames[: self._spec.count_frames(len(signal))]
        parts = np.fft.rfft(frames * self._arrays.window)
        power = np.square(parts.real) + np.square(parts.imag)
        return power if self._spec.power == 2 else np.sqrt(power)
