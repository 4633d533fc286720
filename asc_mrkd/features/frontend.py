"""The front end: recordings to spectrograms, as a definition says."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from asc_mrkd.audio.read import match_channels, read_audio, resample
from asc_mrkd.errors import ConfigError
from asc_mrkd.features.spec import FrontendSpec

if TYPE_CHECKING:
    from asc_mrkd.features.filterbank import FrontendArrays

Backend = Literal["numpy", "torch", "plain"]


class Frontend:
    """Compute the features of a definition.

    A front end with the back end numpy can be pickled, and the process that receives it computes with numpy and scipy
    alone: the arrays, whose computation imports librosa, travel along.

    Args:
        spec: definition, see `load_spec`.
        backend: `numpy` (default on the CPU, with compiled loops), `torch` (any device, default on others) or `plain`
            (numpy alone, which starts faster); they agree within 1e-3 dB.
        device: device of the torch back end: cpu, cuda or auto.
        arrays: window, filters and offset, if they are at hand; computing them takes librosa.

    Raises:
        ConfigError: a mel filter would be empty, the device does not exist, or the back end cannot use it.

    Example:
        ```python
        frontend = Frontend(load_spec("pmel256"))
        features = frontend.from_file("audio/park.wav")  # (channel, mel, frame)
        ```
    """

    def __init__(
        self,
        spec: FrontendSpec,
        backend: Backend | None = None,
        device: str = "cpu",
        arrays: "FrontendArrays | None" = None,
    ) -> None:
        if device != "cpu":
            if backend in ("numpy", "plain"):
                raise ConfigError(
                    f"the back end {backend} computes on the CPU only, not on {device}", "use the back end torch"
                )
            from asc_mrkd.device import choose_device  # here, because a worker on the CPU needs no torch

            device = str(choose_device(device))
        self.spec = spec
        self.backend: Backend = backend or ("numpy" if device == "cpu" else "torch")
        self._transform = _make_transform(spec, self.backend, device, arrays)

    def from_file(self, path: str | os.PathLike[str], expected_seconds: float | None = None) -> np.ndarray:
        """Return the features (channel, mel, frame), float32, of a recording of any rate, channel count and length.

        Args:
            path: recording.
            expected_seconds: only accepted length (s).

        Raises:
            AudioError: the file cannot be used; `reason` is its code.
        """
        return self(self.read(path, expected_seconds))

    def read(
        self, path: str | os.PathLike[str], expected_seconds: float | None = None, expected_rate: int | None = None
    ) -> np.ndarray:
        """Return the samples (channel, sample), float32, of a recording, with the channels and the rate of the spec.

        Args:
            path: recording.
            expected_seconds: only accepted length (s), give or take `pad_or_trim` of the spec.
            expected_rate: only accepted sample rate (Hz) of the file.

        Raises:
            AudioError: the file cannot be used; `reason` is its code.
        """
        audio = read_audio(path, expected_seconds, expected_rate, self.spec.pad_or_trim)
        samples = match_channels(audio.samples, self.spec.channels, path)
        return resample(samples, audio.sample_rate, self.spec.sample_rate)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the features (..., channel, mel, frame), float32, of samples (..., channel, sample).

        The samples have the rate of the spec. A leading dimension of clips makes a batch, as a GPU needs it.

        Raises:
            ValueError: the signal has n_fft / 2 samples or fewer, too few to be reflected.
        """
        signals = np.asarray(samples, dtype=np.float32)
        if signals.shape[-1] <= self.spec.n_fft // 2:
            raise ValueError(f"{signals.shape[-1]} samples are too few for n_fft {self.spec.n_fft}")
        features = self._transform(signals.reshape(-1, signals.shape[-1]))
        return features.reshape(*signals.shape[:-1], *features.shape[1:])


def pad_or_trim(samples: np.ndarray, length: int) -> np.ndarray:
    """Return samples (channel, sample) of exactly `length`: zeros are added at the end, or the end is cut off.

    >>> pad_or_trim(np.ones((1, 2)), 3).tolist(), pad_or_trim(np.ones((1, 2)), 1).tolist()
    ([[1.0, 1.0, 0.0]], [[1.0]])
    """
    missing = length - samples.shape[-1]
    if missing > 0:
        return np.pad(samples, ((0, 0), (0, missing)))
    return samples[:, :length]


def _make_transform(
    spec: FrontendSpec, backend: Backend, device: str, arrays: "FrontendArrays | None"
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from signals (signal, sample) to features (signal, mel, frame)."""
    from asc_mrkd.features.filterbank import compute_arrays, librosa_filterbank, torch_filterbank

    if backend == "torch":
        from asc_mrkd.features.torch_backend import TorchTransform

        return TorchTransform(spec, arrays or compute_arrays(spec, torch_filterbank(spec)), device)
    if arrays is None:
        arrays = compute_arrays(spec, librosa_filterbank(spec))
    if backend == "plain":
        from asc_mrkd.features.plain_backend import PlainTransform

        return PlainTransform(spec, arrays)
    from asc_mrkd.features.numpy_backend import NumpyTransform

    return NumpyTransform(spec, arrays)
