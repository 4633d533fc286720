"""The front end on the CPU: numpy, scipy and compiled loops, so that a worker starts fast and stays small."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft

from asc_mrkd.features.filterbank import DB_PER_NEPER, FrontendArrays, filter_ranges
from asc_mrkd.features.kernels import apply_filters, log_power
from asc_mrkd.features.spec import FrontendSpec

BLOCK_SAMPLES = 2**18
"""Samples transformed at once: 1 MiB stays in the cache, and smaller blocks cost more calls."""

KEPT_BYTES = 2**25 - 2**16
"""Slightly less than 32 MiB, the largest array that glibc's malloc learns from (see `keep_memory`)."""

LEAST = -3e38
"""Number below every float32 that occurs."""


class NumpyTransform:
    """Signals (signal, sample) to features (signal, mel, frame), float32.

    The spectrum of a signal is (frame, bin), the order in which the Fourier transform writes it, in one array. Of each
    filter only the non-zero part is kept.
    """

    def __init__(self, spec: FrontendSpec, arrays: FrontendArrays) -> None:
        self._spec = spec
        self._window = arrays.window
        self._offset = arrays.offset[:, 0]
        self._depth = None if spec.top_db is None else spec.top_db / DB_PER_NEPER
        self._starts, self._counts, self._factors = filter_ranges(arrays.filters)
        keep_memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        keep_memory()

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Return the features of all signals, computed one after the other."""
        frames = self._spec.count_frames(signals.shape[-1])
        half = self._spec.n_fft // 2
        spectrum = np.empty((frames, half + 1), np.float32)
        features = np.empty((len(signals), self._spec.n_mels, frames), np.float32)
        for signal, mel in zip(signals, features, strict=True):
            start = signal[half:0:-1]  # reflected by slices: np.pad takes five times as long
            end = signal[-2 : -half - 2 : -1]
            self.write_spectrum(np.concatenate([start, signal, end]), spectrum)
            self.write_mel(spectrum, mel)
        return features

    def write_spectrum(self, signal: np.ndarray, spectrum: np.ndarray) -> None:
        """Write the spectrum of a padded signal (sample,) into `spectrum` (frame, bin).

        It is the natural logarithm of the power for `perceptual_db`, power or magnitude for `log`.
        """
        windows = sliding_window_view(signal, self._spec.n_fft)[:: self._spec.hop_length][: len(spectrum)]
        step = max(1, BLOCK_SAMPLES // self._spec.n_fft)
        block = np.empty((step, self._spec.n_fft), np.float32)
        for first in range(0, len(windows), step):
            frames = windows[first : first + step]
            out = spectrum[first : first + step]
            windowed = np.multiply(frames, self._window, out=block[: len(frames)])
            parts = rfft(windowed).view(np.float32)  # real and imaginary parts alternate
            if self._spec.scale == "perceptual_db":
                log_power(parts, out)
                continue
            np.square(parts, out=parts)
            np.add(parts[:, 0::2], parts[:, 1::2], out=out)
            if self._spec.power == 1:
                np.sqrt(out, out=out)

    def write_mel(self, spectrum: np.ndarray, mel: np.ndarray) -> None:
        """Write the features of a `spectrum` (frame, bin) into `mel` (mel, frame)."""
        least = LEAST if self._depth is None else spectrum.max() - self._depth
        apply_filters(spectrum, least, self._starts, self._counts, self._factors, self._offset, mel)
        if self._spec.log_offset is not None:
            mel += np.float32(self._spec.log_offset)
            np.log(mel, out=mel)


def keep_memory() -> None:
    """Make the C library keep the memory of freed arrays for the next clip.

    Otherwise a worker requests 7 MiB from the system for every clip, page by page, which costs a quarter of its time.
    glibc keeps twice the size of the largest freed block, which is this one; the block is never touched, so it takes
    no memory. With another C library nothing happens.
    """
    np.empty(KEPT_BYTES, np.uint8)
