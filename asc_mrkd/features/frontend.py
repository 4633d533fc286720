"""The front end: recordings to perceptually weighted Mel spectrograms.

Order of CP-JKU's pipeline: power spectrum, dB with a floor 80 dB below the channel's maximum, A-weighting of the
linear frequencies, and only then the Mel filterbank, as a matrix product with the dB values.
"""

import os
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.features.audio import match_channels, read_audio, resample
from asc_mrkd.features.filterbank import a_weighting, mel_filterbank
from asc_mrkd.features.spec import FrontendSpec

AMIN = 1e-10
"""Smallest power that is told from zero."""


class Frontend:
    """Compute the features that a specification defines.

    Args:
        spec: see `load_spec`.
        backend: `torch` (fast, any device) or `librosa` (the reference: slow, same values within 1e-3 dB).
        device: where the torch back end computes.
    """

    def __init__(
        self, spec: FrontendSpec, backend: Literal["torch", "librosa"] = "torch", device: str = "cpu"
    ) -> None:
        self.spec, self.backend = spec, backend
        filters = mel_filterbank(spec).to(device)
        self._window = torch.hann_window(spec.n_fft, device=device)
        frequencies = np.arange(spec.n_fft // 2 + 1) * spec.sample_rate / spec.n_fft
        self._weighting = torch.from_numpy(a_weighting(frequencies)).float().to(device)[:, None]
        rows, self._bins = filters.nonzero(as_tuple=True)
        self._factors = filters[rows, self._bins]
        self._offsets = torch.searchsorted(rows, torch.arange(spec.n_mels, device=device))

    def from_file(self, path: str | os.PathLike[str], expected_seconds: float | None = None) -> np.ndarray:
        """Return the features (channel, mel, frame), float32, of a recording of any rate, channel count and length.

        Raises:
            AudioError: the file cannot be used; `reason` says why.
        """
        audio = read_audio(path, expected_seconds)
        samples = match_channels(audio.samples, self.spec.channels)
        return self(resample(samples, audio.sample_rate, self.spec.sample_rate))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the features (channel, mel, frame), float32, of samples (channel, sample) at the spec's rate."""
        if self.backend == "librosa":
            from asc_mrkd.features.reference import librosa_features

            return librosa_features(samples, self.spec)
        spectrum = self._weighted_decibels(torch.from_numpy(samples).to(self._window.device))
        return self._to_mel(spectrum).cpu().numpy()

    def _weighted_decibels(self, samples: Tensor) -> Tensor:
        """Map (channel, sample) to A-weighted dB (channel, bin, frame)."""
        spectrum = torch.stft(
            samples, self.spec.n_fft, self.spec.hop_length, window=self._window, pad_mode="reflect", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        decibels = power.clamp_(min=AMIN).log10_().mul_(10)
        floor = decibels.amax(dim=(1, 2), keepdim=True) - self.spec.top_db
        return torch.maximum(decibels, floor, out=decibels).add_(self._weighting)

    def _to_mel(self, decibels: Tensor) -> Tensor:
        """Map (channel, bin, frame) to (channel, mel, frame): only the non-zero filter entries are multiplied."""
        channels, bins, frames = decibels.shape
        table = decibels.transpose(0, 1).reshape(bins, channels * frames)
        mel = torch.nn.functional.embedding_bag(
            self._bins, table, self._offsets, mode="sum", per_sample_weights=self._factors
        )
        return mel.view(-1, channels, frames).transpose(0, 1).contiguous()
