"""The front end on a CPU: numpy, scipy and a compiled loop, so that a worker starts fast and stays small."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft

from asc_mrkd.features.filterbank import DB_PER_NEPER, Curves
from asc_mrkd.features.kernels import apply_filters, log_power
from asc_mrkd.features.spec import FrontendSpec

BLOCK_SAMPLES = 2**18
"""Samples that are transformed at once: 1 MiB stays in the cache, and smaller blocks cost more calls."""

KEPT_BYTES = 2**25 - 2**16
"""A little less than 32 MiB, the largest array that glibc's malloc learns from (see `keep_memory`)."""

LEAST = -3e38
"""Below every float32 that occurs."""


class ScipyTransform:
    """Signals (signal, sample) to features (signal, mel, frame), float32.

    The spectrum of a signal is kept as (frame, bin), the order in which the Fourier transform writes it, in one array.
    Of the filters only what is not zero is kept.
    """

    def __init__(self, spec: FrontendSpec, curves: Curves) -> None:
        self._spec, self._window, self._offset = spec, curves.window, curves.offset[:, 0]
        self._depth = None if spec.top_db is None else spec.top_db / DB_PER_NEPER
        used = [np.flatnonzero(row) for row in curves.filters]
        self._starts = np.array([bins[0] for bins in used])
        self._counts = np.array([bins[-1] + 1 - bins[0] for bins in used])
        self._factors = np.concatenate(
            [row[bins[0] : bins[-1] + 1] for row, bins in zip(curves.filters, used, strict=True)]
        )
        keep_memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        keep_memory()

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Return the features of all signals, computed one after the other."""
        frames, half = self._spec.frames_of(signals.shape[-1]), self._spec.n_fft // 2
        spectrum = np.empty((frames, half + 1), np.float32)
        features = np.empty((len(signals), self._spec.n_mels, frames), np.float32)
        for signal, mel in zip(signals, features, strict=True):
            ends = signal[half:0:-1], signal[-2 : -half - 2 : -1]  # reflected here: np.pad takes five times as long
            self.write_spectrum(np.concatenate([ends[0], signal, ends[1]]), spectrum)
            self.write_mel(spectrum, mel)
        return features

    def write_spectrum(self, signal: np.ndarray, spectrum: np.ndarray) -> None:
        """Write the spectrum of a padded signal (sample,) into `spectrum` (frame, bin).

        It is the natural logarithm of the power for `perceptual_db`, power or magnitude for `log`.
        """
        windows = sliding_window_view(signal, self._spec.n_fft)[:: self._spec.hop_length][: len(spectrum)]
        step = max(1, BLOCK_SAMPLES // self._spec.n_fft)
        block = np.empty((step, self._spec.n_fft), np.float32)
        for start in range(0, len(windows), step):
            frames, out = windows[start : start + step], spectrum[start : start + step]
            parts = rfft(np.multiply(frames, self._window, out=block[: len(frames)])).view(np.float32)
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
    """Have the C library keep the memory of freed arrays for the next clip instead of giving it back to the system.

    Otherwise a worker gets 7 MiB anew with every clip, page by page, which costs a quarter of its time. glibc keeps
    twice the size of the largest block that was freed, which this one becomes; it is never touched, so it takes no
    memory. With another C library nothing happens.
    """
    np.empty(KEPT_BYTES, np.uint8)
