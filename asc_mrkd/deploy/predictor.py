"""From a recording to a scene, with one model file and nothing beside it."""

import os
from pathlib import Path

import numpy as np
import torch

from asc_mrkd.engine.model_file import load_model
from asc_mrkd.features.audio import match_channels, read_audio, resample
from asc_mrkd.features.frontend import Frontend


class Predictor:
    """A trained network with its front end: recordings of any rate, channel count and length to probabilities.

    Args:
        model: a model file, a seed folder or a run folder (its lowest seed).

    Attributes:
        classes: class names in the order of the probabilities.
    """

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self._file = load_model(Path(model))
        self._frontend = Frontend(self._file.frontend)
        self.classes = self._file.classes

    def predict_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Return the class probabilities (class,), float64, of a recording.

        A long recording is cut into clips of the length that the network was trained on, the last one ending at its
        end, and their probabilities are averaged; a short one is repeated up to that length.

        Raises:
            AudioError: the file cannot be used; `reason` says why.
        """
        audio, spec = read_audio(path), self._file.frontend
        samples = resample(match_channels(audio.samples, spec.channels), audio.sample_rate, spec.sample_rate)
        return np.mean([self._predict_clip(clip) for clip in clips_of(samples, spec.samples)], axis=0)

    @torch.no_grad()
    def _predict_clip(self, samples: np.ndarray) -> np.ndarray:
        features = (self._frontend(samples) - self._file.mean[:, None]) / self._file.std[:, None]
        return self._file.model(torch.from_numpy(features)[None]).double().softmax(1)[0].numpy()


def clips_of(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut (channel, sample) into clips of `length` samples that cover everything.

    >>> [clip.tolist() for clip in clips_of(np.array([[1, 2, 3, 4, 5]]), 2)]
    [[[1, 2]], [[3, 4]], [[4, 5]]]
    >>> [clip.tolist() for clip in clips_of(np.array([[1, 2]]), 5)]
    [[[1, 2, 1, 2, 1]]]
    """
    count = samples.shape[1]
    if count < length:
        return [np.take(samples, np.arange(length), axis=1, mode="wrap")]
    starts = [*range(0, count - length + 1, length), count - length]
    return [samples[:, start : start + length] for start in dict.fromkeys(starts)]
