"""The reference front end, step by step by librosa: the oracle of the tests and a back end to choose."""

import librosa
import numpy as np

from asc_mrkd.features.spec import FrontendSpec


def librosa_features(samples: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """Return the features (channel, mel, frame), float32, of samples (channel, sample) at the spec's rate."""
    frequencies = librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.n_fft)
    filters = librosa.filters.mel(
        sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax
    )
    channels = []
    for channel in samples:
        power = np.abs(librosa.stft(channel, n_fft=spec.n_fft, hop_length=spec.hop_length, pad_mode="reflect")) ** 2
        channels.append(filters @ librosa.perceptual_weighting(power, frequencies, ref=1.0, top_db=spec.top_db))
    return np.stack(channels).astype(np.float32)
