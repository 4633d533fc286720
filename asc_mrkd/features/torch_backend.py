"""The front end on any device of torch, one batch at a time."""

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.features.filterbank import AMIN, FrontendArrays
from asc_mrkd.features.spec import FrontendSpec


class TorchTransform:
    """Signals (signal, sample) to features (signal, mel, frame), float32, computed on a device."""

    def __init__(self, spec: FrontendSpec, arrays: FrontendArrays, device: str) -> None:
        self._spec = spec
        self._arguments = (spec, arrays, device)
        self._window = torch.from_numpy(arrays.window).to(device)
        self._offset = torch.from_numpy(arrays.offset).to(device)
        filters = torch.from_numpy(arrays.filters).to(device)
        rows, self._bins = filters.nonzero(as_tuple=True)
        self._factors = filters[rows, self._bins]
        self._starts = torch.searchsorted(rows, torch.arange(spec.n_mels, device=device))

    def __reduce__(self) -> tuple[type["TorchTransform"], tuple[FrontendSpec, FrontendArrays, str]]:
        """Pickle without the tensors: the receiving process puts its own on the device."""
        return TorchTransform, self._arguments

    @torch.no_grad()
    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Return the features of all signals, computed at once."""
        spectrum = self._spectrum(torch.from_numpy(signals).to(self._window.device))
        if self._spec.top_db is not None:
            floor = spectrum.amax(dim=(1, 2), keepdim=True) * 10 ** (-self._spec.top_db / 10)
            spectrum = torch.maximum(spectrum, floor.clamp(min=AMIN)).log_()
        features = self._filter(spectrum) + self._offset
        if self._spec.log_offset is not None:
            features = (features + self._spec.log_offset).log_()
        return features.cpu().numpy()

    def _spectrum(self, signals: Tensor) -> Tensor:
        """Map (signal, sample) to power or magnitude (signal, bin, frame)."""
        frames = self._spec.count_frames(signals.shape[-1])
        spectrum = torch.stft(
            signals,
            self._spec.n_fft,
            self._spec.hop_length,
            window=self._window,
            pad_mode="reflect",
            return_complex=True,
        )[..., :frames]
        power = spectrum.real.square() + spectrum.imag.square()
        return power if self._spec.power == 2 else power.sqrt_()

    def _filter(self, spectrum: Tensor) -> Tensor:
        """Map (signal, bin, frame) to (signal, mel, frame) by multiplying the non-zero filter entries only.

        A matrix product would lose 1e-3 dB where the engine has allowed TF32.
        """
        signals, bins, frames = spectrum.shape
        table = spectrum.transpose(0, 1).reshape(bins, signals * frames)
        mel = torch.nn.functional.embedding_bag(
            self._bins, table, self._starts, mode="sum", per_sample_weights=self._factors
        )
        return mel.view(-1, signals, frames).transpose(0, 1)
