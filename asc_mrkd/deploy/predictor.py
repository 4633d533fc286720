"""From a recording to a scene, or from a picture to its class, with one model file and nothing beside it."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from asc_mrkd.audio.read import match_channels, read_audio, resample
from asc_mrkd.datasets.images.image_folder import SUFFIXES as IMAGE_SUFFIXES
from asc_mrkd.datasets.recordings import SOUND_SUFFIXES
from asc_mrkd.deploy.model_file import ModelFile, load_model
from asc_mrkd.errors import DataError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.features.spec import FrontendSpec


class Predictor:
    """A trained network with everything before it: recordings or pictures to class probabilities.

    Args:
        model: a model file, a seed folder or a run folder (its lowest seed).

    Attributes:
        classes: class names in the order of the probabilities.
        takes_recordings: whether it was trained on recordings, not on images.
        suffixes: of the files that it looks for in a folder.
    """

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self._file = load_model(Path(model))
        self._frontend = Frontend(self._file.frontend) if self._file.frontend else None
        self.classes = self._file.classes
        self.takes_recordings = self._frontend is not None
        self.suffixes = SOUND_SUFFIXES if self.takes_recordings else IMAGE_SUFFIXES

    @torch.no_grad()
    def predict_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Return the class probabilities (class,), float64, of a recording or a picture.

        A recording may have any rate, channel count and length. A long one is cut into clips of the length that the
        network was trained on, the last one ending at its end, and their probabilities are averaged; a short one is
        repeated up to that length. A picture is scaled to the size that the network was trained on.

        Raises:
            AudioError: the recording cannot be used; `reason` says why.
            DataError: the picture cannot be read.
        """
        if self._frontend is None:
            return self._probabilities(_read_picture(path, self._file))
        clips = _read_clips(path, self._frontend.spec)
        return np.mean([self._probabilities(self._frontend(clip)) for clip in clips], axis=0)

    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        normalised = torch.from_numpy((x - self._file.mean) / self._file.std)
        return self._file.model(normalised[None]).double().softmax(1)[0].numpy()


def _read_clips(path: str | os.PathLike[str], spec: FrontendSpec) -> list[np.ndarray]:
    audio = read_audio(path)
    samples = resample(match_channels(audio.samples, spec.channels), audio.sample_rate, spec.sample_rate)
    return clips_of(samples, spec.samples)


def _read_picture(path: str | os.PathLike[str], file: ModelFile) -> np.ndarray:
    _, height, width = file.input_shape
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a picture: {error}", "PNG and JPEG are read") from None
    return pixels.transpose(2, 0, 1).astype(np.float32)


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
