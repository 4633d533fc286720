"""The front end on any device of torch, a batch at a time."""

import numpy as np
import torch
from torch import Tensor

from asc_mrkd.features.filterbank import AMIN, Curves
from asc_mrkd.features.spec import FrontendSpec


class TorchTransform:
    """Signals (signal, sample) to features (signal, mel, frame), float32, computed on a device."""

    def __init__(self, spec: FrontendSpec, curves: Curves, device: str) -> None:
        self._spec, self._made_of = spec, (spec, curves, device)
        self._window, filters, self._offset = (
            torch.from_numpy(curve).to(device) for curve in (curves.window, curves.filters, curves.offset)
        )
        rows, self._bins = filters.nonzero(as_tuple=True)
        self._factors = filters[rows, self._bins]
        self._starts = torch.searchsorted(rows, torch.arange(spec.n_mels, device=device))

    def __reduce__(self) -> tuple[type["TorchTransform"], tuple[FrontendSpec, Curves, str]]:
        """Travel to another process without the tensors: it puts its own on the device."""
        return TorchTransform, self._made_of

    @torch.no_grad()
    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Return the features of all signals, computed at once."""
        spectrum = self._spectrum(torch.from_numpy(signals).to(self._window.device))
        if self._spec.top_db is not None:
            floor = spectrum.amax(dim=(1, 2), keepdim=True) * 10 ** (-self._spec.top_db / 10)
            spectrum = torch.maximum(spectrum, floor.clamp(min=AMIN)).log_()
        features = self._mel(spectrum) + self._offset
        if self._spec.log_offset is not None:
            features = (features + self._spec.log_offset).log_()
        return features.cpu().numpy()

    def _spectrum(self, signals: Tensor) -> Tensor:
        """Map (signal, sample) to power or magnitude (signal, bin, frame)."""
        spectrum = torch.stft(
            signals,
            self._spec.n_fft,
            self._spec.hop_length,
            window=self._window,
            pad_mode="reflect",
            return_complex=True,
        )[..., : self._spec.frames_of(signals.shape[-1])]
        power = spectrum.real.square() + spectrum.imag.square()
        return power if self._spec.power == 2 else power.sqrt_()

    def _mel(self, spectrum: Tensor) -> Tensor:
        """Map (signal, bin, frame) to (signal, mel, frame): only the non-zero filter entries are multiplied.

        A matrix product would lose 1e-3 dB where the engine has allowed TF32.
        """
        signals, bins, frames = spectrum.shape
        table = spectrum.transpose(0, 1).reshape(bins, signals * frames)
        mel = torch.nn.functional.embedding_bag(
            self._bins, table, self._starts, mode="sum", per_sample_weights=self._factors
        )
        return mel.view(-1, signals, frames).transpose(0, 1)
