"""The front end step by step with librosa: the oracle of the tests and the reference of the golden values."""

import librosa
import numpy as np

from asc_mrkd.features import FrontendSpec
from asc_mrkd.features.filterbank import librosa_filterbank


def librosa_features(samples: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """Return the features (..., mel, frame), float32, of samples (..., sample) at the rate of the spec."""
    signals = np.asarray(samples, dtype=np.float32)
    frequencies = librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.n_fft)
    filters = librosa_filterbank(spec)
    features = []
    for signal in signals.reshape(-1, signals.shape[-1]):
        stft = librosa.stft(
            signal,
            n_fft=spec.n_fft,
            hop_length=spec.hop_length,
            win_length=spec.win_length,
            window=spec.window,
            pad_mode="reflect",
        )
        spectrum = np.abs(stft[:, : spec.count_frames(len(signal))]) ** spec.power
        if spec.scale == "perceptual_db":
            features.append(filters @ librosa.perceptual_weighting(spectrum, frequencies, ref=1.0, top_db=spec.top_db))
        else:
            features.append(np.log(filters @ spectrum + spec.log_offset))
    stacked = np.stack(features).astype(np.float32)
    return stacked.reshape(*signals.shape[:-1], *stacked.shape[1:])
