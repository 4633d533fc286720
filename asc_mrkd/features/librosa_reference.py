"""The reference front end, step by step by librosa: the oracle of the tests and a back end to choose."""

import librosa
import numpy as np

from asc_mrkd.features.filterbank import librosa_filterbank
from asc_mrkd.features.spec import FrontendSpec


def librosa_features(signals: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """Return the features (signal, mel, frame), float32, of signals (signal, sample) at the spec's rate."""
    frequencies = librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.n_fft)
    filters = librosa_filterbank(spec)
    features = []
    for signal in signals:
        stft = librosa.stft(
            signal,
            n_fft=spec.n_fft,
            hop_length=spec.hop_length,
            win_length=spec.win_length,
            window=spec.window,
            pad_mode="reflect",
        )
        spectrum = np.abs(stft[:, : spec.frames_of(len(signal))]) ** spec.power
        if spec.scale == "perceptual_db":
            features.append(filters @ librosa.perceptual_weighting(spectrum, frequencies, ref=1.0, top_db=spec.top_db))
        else:
            features.append(np.log(filters @ spectrum + spec.log_offset))
    return np.stack(features).astype(np.float32)
