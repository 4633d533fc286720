"""The front end: recordings to spectrograms, as a specification defines them."""

import os
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from asc_mrkd.audio.read import match_channels, read_audio, resample
from asc_mrkd.errors import ConfigError
from asc_mrkd.features.spec import FrontendSpec

Backend = Literal["scipy", "torch", "librosa"]


class Frontend:
    """Compute the features that a specification defines.

    With the back end scipy it can be pickled, and a process that receives it computes with numpy and scipy alone:
    the curves, whose making imports librosa, travel along.

    Args:
        spec: see `load_spec`.
        backend: `scipy` (the default on a CPU), `torch` (any device, the default on others), or `librosa` (the
            reference: slow); they agree within 1e-3 dB.
        device: where the torch back end computes.

    Raises:
        ConfigError: a Mel filter would be empty, or the back end cannot use the device.
    """

    def __init__(self, spec: FrontendSpec, backend: Backend | None = None, device: str = "cpu") -> None:
        self.spec = spec
        self.backend: Backend = backend or ("scipy" if device == "cpu" else "torch")
        if device != "cpu" and self.backend != "torch":
            raise ConfigError(
                f"the back end {self.backend} computes on the CPU only, not on {device}", "use the back end torch"
            )
        self._transform = _transform_of(spec, self.backend, device)

    def from_file(self, path: str | os.PathLike[str], expected_seconds: float | None = None) -> np.ndarray:
        """Return the features (channel, mel, frame), float32, of a recording of any rate, channel count and length.

        Raises:
            AudioError: the file cannot be used; `reason` says why.
        """
        return self(self.read(path, expected_seconds))

    def read(
        self, path: str | os.PathLike[str], expected_seconds: float | None = None, expected_rate: int | None = None
    ) -> np.ndarray:
        """Return the samples (channel, sample), float32, of a recording, with the channels and the rate of the spec.

        Args:
            path: the file.
            expected_seconds: refuse every other length (s).
            expected_rate: refuse every other sample rate (Hz) of the file.

        Raises:
            AudioError: the file cannot be used; `reason` says why.
        """
        audio = read_audio(path, expected_seconds, expected_rate)
        samples = match_channels(audio.samples, self.spec.channels, path)
        return resample(samples, audio.sample_rate, self.spec.sample_rate)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the features (..., channel, mel, frame), float32, of samples (..., channel, sample).

        The samples have the rate of the spec. A leading dimension of clips makes a batch, which a GPU wants.

        Raises:
            ValueError: there are too few samples to reflect them, n_fft / 2 or less.
        """
        signals = np.asarray(samples, dtype=np.float32)
        if signals.shape[-1] <= self.spec.n_fft // 2:
            raise ValueError(f"{signals.shape[-1]} samples are too few for n_fft {self.spec.n_fft}")
        features = self._transform(signals.reshape(-1, signals.shape[-1]))
        return features.reshape(*signals.shape[:-1], *features.shape[1:])


def _transform_of(spec: FrontendSpec, backend: Backend, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from signals (signal, sample) to features (signal, mel, frame)."""
    if backend == "librosa":
        from asc_mrkd.features.librosa_reference import librosa_features

        return partial(librosa_features, spec=spec)
    from asc_mrkd.features.filterbank import curves_of, librosa_filterbank, torch_filterbank

    if backend == "torch":
        from asc_mrkd.features.torch_backend import TorchTransform

        return TorchTransform(spec, curves_of(spec, torch_filterbank(spec)), device)
    from asc_mrkd.features.numpy_backend import ScipyTransform

    return ScipyTransform(spec, curves_of(spec, librosa_filterbank(spec)))
