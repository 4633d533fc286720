"""From recordings to scenes, or from pictures to classes, with one model file and nothing else."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.datasets.images.image_folder import IMAGE_SUFFIXES
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.errors import DataError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.files import find_files
from asc_mrkd.progress import Progress, no_progress

SUFFIXES = {"scenes": SOUND_SUFFIXES, "images": IMAGE_SUFFIXES}
"""Suffixes of recordings and of pictures, by the name of the domain."""


@dataclass(frozen=True)
class Prediction:
    """Most probable classes of one file."""

    file: Path
    classes: list[str]
    """Class names, the most probable first."""
    probabilities: list[float]
    """Probability of each class in `classes`."""


@dataclass(frozen=True)
class FolderPredictions:
    """Predictions for several files."""

    predictions: list[Prediction]
    failures: list[DataError]
    """Errors of the files that were left out."""


class Predictor:
    """A trained network with all its preprocessing: from recordings or pictures to class probabilities.

    Args:
        model: a model file, a seed folder or a run folder (its lowest seed).

    Raises:
        RunError, DamagedFileError: there is no model, or its file is damaged.

    Example:
        predictor = Predictor("exp/ce")
        probabilities = predictor.predict_file("recording.wav")
        print(predictor.classes[probabilities.argmax()])
    """

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self._file = load_model(Path(model))
        self._frontend = None if self._file.frontend is None else Frontend(self._file.frontend)
        self.classes = self._file.classes
        """Class names in the order of the probabilities."""
        self.domain = self._file.domain
        """Scenes or images."""
        self.suffixes = SUFFIXES[self.domain.name]
        """Suffixes of the files that `predict_folder` looks for."""

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
            _, height, width = self._file.input_shape
            return self._probabilities(read_picture(path, height, width))
        clips = cut_into_clips(self._frontend.read(path), self._frontend.spec.samples)
        return np.mean([self._probabilities(self._frontend(clip)) for clip in clips], axis=0)

    def predict_folder(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        top: int = 3,
        progress: Progress = no_progress,
    ) -> FolderPredictions:
        """Return the most probable classes of every recording or picture in some folders.

        Files that cannot be used are left out and listed. If the only file that is given cannot be used, that is an
        error.

        Args:
            paths: a folder, a file, or several of both.
            top: number of classes per file.
            progress: told about every file.

        Raises:
            DataError: a folder holds no such file, or the only file cannot be used.
        """
        sources = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
        files = [file for source in sources for file in self._find_files(source)]
        predictions = []
        failures = []
        with progress("predicting", len(files), "files") as advance:
            for file in files:
                try:
                    predictions.append(self._best_classes(file, top))
                except DataError as error:
                    if sources == [file]:
                        raise
                    failures.append(error)
                advance()
        return FolderPredictions(predictions, failures)

    def _find_files(self, source: Path) -> list[Path]:
        if not source.is_dir():
            return [source]
        files = find_files(source, self.suffixes)
        if not files:
            suffixes = ", ".join(self.suffixes)
            raise DataError(f"{source}: no file that ends in {suffixes}", "asc-mrkd predict MODEL FILE")
        return files

    def _best_classes(self, file: Path, top: int) -> Prediction:
        probabilities = self.predict_file(file)
        best = probabilities.argsort()[::-1][:top]
        return Prediction(file, [self.classes[i] for i in best], [float(probabilities[i]) for i in best])

    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        # The batch dimension comes last: before, it would change the memory layout and with it the last bits.
        return self._file.model(self._file.normalise(x)[None]).double().softmax(1)[0].numpy()


def read_picture(path: str | os.PathLike[str], height: int, width: int) -> np.ndarray:
    """Return a picture, scaled to a size, as values in 0..255, float32, (channel, height, width).

    Raises:
        DataError: the file is not a picture.
    """
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a picture: {error}", "PNG and JPEG are read") from None
    return pixels.transpose(2, 0, 1).astype(np.float32)


def cut_into_clips(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut (channel, sample) into clips of `length` samples that cover everything.

    >>> [clip.tolist() for clip in cut_into_clips(np.array([[1, 2, 3, 4, 5]]), 2)]
    [[[1, 2]], [[3, 4]], [[4, 5]]]
    >>> [clip.tolist() for clip in cut_into_clips(np.array([[1, 2]]), 5)]
    [[[1, 2, 1, 2, 1]]]
    """
    count = samples.shape[1]
    if count < length:
        return [np.take(samples, np.arange(length), axis=1, mode="wrap")]
    starts = [*range(0, count - length + 1, length), count - length]
    return [samples[:, start : start + length] for start in dict.fromkeys(starts)]
