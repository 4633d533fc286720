"""From recordings to scenes, or from pictures to classes, with one model file and nothing else."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.audio.read import name_of_stream
from asc_mrkd.audio.reasons import REASONS
from asc_mrkd.config.domain import IMAGES, SCENES
from asc_mrkd.deploy.inputs import Caution, Preparation, Prepared, Source, cut_into_clips, prepare_files
from asc_mrkd.deploy.streaming import Decision, Stream, require_decisions
from asc_mrkd.deploy.time_line import TimeLine, divide
from asc_mrkd.errors import AudioError, ConfigError, DataError, ModelError, require_bool, suggest
from asc_mrkd.folders import find_files
from asc_mrkd.machine import available_cores
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.workers import local_pool, map_in_order

if TYPE_CHECKING:
    from asc_mrkd.deploy.onnx_session import OnnxClassifier
    from asc_mrkd.deploy.torch_classifier import TorchClassifier

    Classifier = OnnxClassifier | TorchClassifier

Model = str | os.PathLike[str]
"""A model file, an .onnx file, a seed folder or a run folder (its lowest seed)."""

BATCH_BYTES = 2**22
"""Most bytes of inputs in a batch: larger ones leave the cache and take longer per input."""

LARGEST_BATCH = 64
"""Most inputs in a batch."""

FEW_FILES = 64
"""Most files that are read in this process: starting workers would take longer."""


@dataclass(frozen=True)
class Prediction:
    """Most probable classes of one recording or picture."""

    file: Path | None
    """Path, or name of the file object; None for an array."""
    classes: list[str]
    """Class names, the most probable first."""
    probabilities: list[float]
    """Probability of each class in `classes`."""
    cautions: list[Caution] = field(default_factory=list)
    """Differences of a recording from those that the network was trained on."""
    embedding: np.ndarray | None = field(default=None, compare=False)
    """Input of the classifier (value,), float32, the mean of all clips; None unless it was asked for."""


@dataclass(frozen=True)
class FolderPredictions:
    """Predictions for several files."""

    predictions: list[Prediction]
    failures: list[DataError]
    """Errors of the files that were left out."""


@dataclass(frozen=True)
class FoundFiles:
    """Files to predict, in their order."""

    files: list[Path]
    passed_over: list[Path]
    """Files in the folders that were left out because of their suffix."""


class Predictor:
    """A trained network with all its preprocessing: from recordings or pictures to class probabilities.

    Of several networks, such as the seeds of a run, the probabilities are averaged; the front end runs once for all.

    An .onnx file is run by onnxruntime: neither torch nor pandas nor a compiler is imported, so that it starts at once.

    Args:
        model: a model file, an .onnx file, a seed folder or a run folder (its lowest seed); or several of them with the
            same classes and the same front end.
        device: device that computes, as torch names it; `auto` is a GPU if there is one.

    Raises:
        RunError, DamagedFileError: there is no model, or its file is damaged.
        ConfigError: unknown device.
        ModelError: several networks have other classes, or take other inputs.

    Example:
        predictor = Predictor("exp/ce")
        probabilities = predictor.predict_file("recording.wav")
        print(predictor.classes[probabilities.argmax()])
    """

    def __init__(self, model: Model | Sequence[Model], device: str = "cpu") -> None:
        models = [model] if isinstance(model, str | os.PathLike) else model
        self._classifiers = open_classifiers(models, device)
        first = self._classifiers[0]
        self.device = first.device
        """Name of the device that computes."""
        description = first.description
        self.frontend = description.frontend
        """Definition of the front end; None for pictures."""
        self._preparation = Preparation(self.frontend, first.frontend(), first.input_shape)
        self._batch_size = max(1, min(LARGEST_BATCH, BATCH_BYTES // self._preparation.input_bytes))
        self.classes = description.classes
        """Class names in the order of the probabilities."""
        self.domain = IMAGES if self.frontend is None else SCENES
        """Scenes or images."""
        self.suffixes = SOUND_SUFFIXES if self.frontend is not None else _image_suffixes()
        """Suffixes of the files that are looked for in a folder."""

    def predict_file(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Return the class probabilities (class,), float64, of a recording or a picture.

        A recording may have any rate, channel count and length. A long one is cut into clips of the length that the
        network was trained on, the last one ending at its end, and their probabilities are averaged; a short one is
        repeated up to that length. A picture is scaled to the size that the network was trained on.

        Raises:
            AudioError: the recording cannot be used; `reason` says why.
            DataError: the picture cannot be read, or the network gives NaN.
        """
        clips, _ = self._preparation.read(path)
        outputs = self._run(map(self._preparation.compute, clips), batch_size=1)
        require_finite(outputs, name_of(path))
        return outputs.probabilities.mean(axis=0)

    def predict_samples(self, samples: np.ndarray) -> np.ndarray:
        """Return the class probabilities (class,), float64, of one clip of samples (channel, sample).

        The samples have the rate, the channels and the length of the front end.

        Raises:
            DataError: the samples have another shape, the network is for pictures, or it gives NaN.
        """
        if self.frontend is None:
            raise DataError("a network for pictures takes no recordings", "give it pictures")
        expected = (self.frontend.channels, self.frontend.samples)
        if samples.shape != expected:
            hint = "predict takes recordings of any rate, channel count and length"
            raise DataError(f"a clip of the shape {samples.shape} is not one of {expected}", hint)
        outputs = self._run([self._preparation.compute(samples)], batch_size=1)
        require_finite(outputs, None)
        return outputs.probabilities[0]

    @overload
    def predict(  # type: ignore[overload-overlap]  # a path as text is iterable too, and one source
        self, sources: Source, rate: int | None = None, top: int | None = None, embeddings: bool = False
    ) -> Prediction: ...

    @overload
    def predict(
        self, sources: Iterable[Source], rate: int | None = None, top: int | None = None, embeddings: bool = False
    ) -> list[Prediction]: ...

    def predict(
        self,
        sources: Source | Iterable[Source],
        rate: int | None = None,
        top: int | None = None,
        embeddings: bool = False,
    ) -> Prediction | list[Prediction]:
        """Return the classes of a recording or picture, the most probable first, or of a batch of them.

        `cautions` of a prediction say how a recording differs from those that the network was trained on: it is mono
        where they were stereo, shorter than a clip, or lacks their high frequencies.

        Args:
            sources: a path, a file object, samples (channel, sample) or (sample,) with full scale 1; or several of
                them: a list, a tuple, a generator or any other iterable.
            rate: sample rate (Hz) of arrays; any.
            top: number of classes; by default all.
            embeddings: whether to return the input of the classifier, too.

        Returns:
            The prediction for one source, or a list with one for each of several.

        Raises:
            AudioError: a recording cannot be used; `reason` says why.
            DataError: a picture cannot be read, a source is of another type, an array is not one of samples, or the
                network gives NaN.
            ModelError: the network gives no embeddings.

        Example:
            ```python
            prediction = predictor.predict(samples, rate=44_100)
            print(prediction.classes[0], prediction.probabilities[0], prediction.cautions)
            ```
        """
        is_one = is_source(sources) or not isinstance(sources, Iterable)
        batch: list[Any] = [sources] if is_one else list(cast(Iterable[Source], sources))
        read = [self._preparation.read(source, rate) for source in batch]
        inputs = (self._preparation.compute(clip) for clips, _ in read for clip in clips)
        outputs = self._run(inputs, self._batch_size, embeddings)
        predictions = []
        start = 0
        for source, (clips, cautions) in zip(batch, read, strict=True):
            part = outputs[start : start + len(clips)]
            predictions.append(self._best(name_of(source), part, top, cautions, embeddings))
            start += len(clips)
        return predictions[0] if is_one else predictions

    def time_line(
        self, source: Source, every: float = 1.0, rate: int | None = None, embeddings: bool = False
    ) -> TimeLine:
        """Return the class probabilities of every interval of a recording.

        The network hears the clip around the middle of an interval; at the start and the end, the first and the last.

        Args:
            source: a path, a file object, or samples (channel, sample) or (sample,) with full scale 1.
            every: length of the intervals (s).
            rate: sample rate (Hz) of an array; any.
            embeddings: whether to return the inputs of the classifier, too.

        Raises:
            AudioError: the recording cannot be used; `reason` says why.
            DataError: the network is for pictures, the array is not one of samples, or the network gives NaN.
            ModelError: the network gives no embeddings.

        Example:
            ```python
            for segment in predictor.time_line("evening.wav", every=0.5).segments():
                print(segment.start, segment.end, segment.name)
            ```
        """
        samples, cautions = self._preparation.read_samples(source, rate)
        assert self.frontend is not None
        length = self.frontend.samples
        intervals = divide(samples.shape[1], self.frontend.sample_rate, length, every)
        if samples.shape[1] < length:
            (samples,) = cut_into_clips(samples, length)
        firsts, clip = np.unique(intervals.clips, return_inverse=True)
        inputs = (self._preparation.compute(samples[:, first : first + length]) for first in firsts)
        outputs = self._run(inputs, self._batch_size, embeddings)
        require_finite(outputs, name_of(source))
        return TimeLine(
            name_of(source),
            self.classes,
            intervals.starts,
            intervals.ends,
            outputs.probabilities[clip],
            outputs.embeddings[clip],
            list(cautions),
        )

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        rate: int | None = None,
        channels: int | None = None,
        hop: float = 1.0,
        hold: int = 2,
    ) -> Iterator[Decision]:
        """Yield class, probability and time (s) of every decision about samples that arrive in blocks.

        Args:
            blocks: samples (channel, sample) or (sample,) with full scale 1, of any lengths.
            rate: sample rate of the blocks (Hz); by default that of the front end.
            channels: channels of the blocks; by default those of the front end.
            hop: time (s) from one decision to the next. The first one comes after a whole clip.
            hold: decisions in a row that a new class needs before it is reported.

        Raises:
            ConfigError: the network is for pictures, or a number is out of its range.
            DataError: a block has other channels, or the stream ended before a whole clip of sound.

        Example:
            ```python
            for name, probability, seconds in predictor.stream(blocks, rate=48_000):
                print(f"{seconds:.1f} s: {name} {probability:.2f}")
            ```
        """
        stream = Stream(self, rate, channels, hop, hold)
        for block in blocks:
            yield from stream.push(block)
        require_decisions(stream)

    def predict_folder(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        top: int = 3,
        progress: Progress = no_progress,
        workers: int | None = None,
    ) -> FolderPredictions:
        """Return the most probable classes of every recording or picture in some folders.

        Files that cannot be used are left out and listed. If the only file that is given cannot be used, that is an
        error.

        Args:
            paths: a folder, a file, or several of both.
            top: number of classes per file.
            progress: told about every file.
            workers: processes that read many files; by default one per core.

        Raises:
            DataError: a folder holds no such file, or the only file cannot be used.
        """
        sources = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
        files = self.find_files(sources).files
        predictions = []
        failures = []
        with progress("predicting", len(files), "files") as advance:
            for answer in self.predict_files(files, top, workers):
                if isinstance(answer, Prediction):
                    predictions.append(answer)
                elif sources == files[:1]:
                    raise answer
                else:
                    failures.append(answer)
                advance()
        return FolderPredictions(predictions, failures)

    def predict_files(
        self, files: Sequence[Path], top: int = 3, workers: int | None = None, embeddings: bool = False
    ) -> Iterator[Prediction | DataError]:
        """Yield the most probable classes of each file, in order, as soon as they are known, or why it was left out.

        Many files are read by worker processes, and the network takes several at once. The probabilities agree with
        those of `predict_file` within 1e-6.

        Args:
            files: recordings or pictures.
            top: number of classes per file.
            workers: processes that read many files; by default one per core.
            embeddings: whether to return the inputs of the classifier, too.

        Example:
            ```python
            for answer in predictor.predict_files(predictor.find_files("recordings").files, top=1):
                if isinstance(answer, Prediction):
                    print(answer.file, answer.classes[0], answer.probabilities[0])
            ```
        """
        cores = available_cores()
        if workers is None:
            workers = cores if len(files) > FEW_FILES else 1
        prepared = zip(files, self._prepare(files, workers), strict=True)
        while group := list(islice(prepared, self._batch_size)):
            with self._classifiers[0].next_to_workers(workers, cores):
                answers = self._answer(group, top, embeddings)
            yield from answers

    def find_files(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> FoundFiles:
        """List the recordings or pictures in some folders, and the files there that have another suffix.

        Args:
            paths: a folder, a file, or several of both; a file that is named may have any suffix.

        Raises:
            DataError: a folder holds no such file.
        """
        files: list[Path] = []
        passed_over: list[Path] = []
        for source in map(Path, [paths] if isinstance(paths, str | os.PathLike) else paths):
            if not source.is_dir():
                files.append(source)
                continue
            everything = find_files(source)
            found = [path for path in everything if path.suffix.lower() in self.suffixes]
            others = [path for path in everything if path.suffix.lower() not in self.suffixes]
            if not found:
                raise self._nothing_found(source, others)
            files += found
            passed_over += others
        return FoundFiles(files, passed_over)

    def _nothing_found(self, folder: Path, others: Sequence[Path]) -> DataError:
        message = f"{folder}: no file that ends in {', '.join(self.suffixes)}"
        if not others:
            return DataError(message, "asc-mrkd predict MODEL FILE_OR_FOLDER")
        return DataError(f"{message}; it holds {describe_suffixes(others)}", "ffmpeg -i IN OUT.wav converts recordings")

    def _prepare(self, files: Sequence[Path], workers: int) -> Iterator[Prepared | DataError]:
        """Yield the inputs of each file, in order."""
        chunks = [files[start : start + self._batch_size] for start in range(0, len(files), self._batch_size)]
        task = partial(prepare_files, preparation=self._preparation)
        if workers == 1:
            return (result for chunk in chunks for result in task(chunk))
        return map_in_order(local_pool(workers), task, chunks, on_crash=_crashed)

    def _answer(
        self, group: list[tuple[Path, Prepared | DataError]], top: int, embeddings: bool
    ) -> list[Prediction | DataError]:
        """Return the answers for files whose inputs go through the network together."""
        inputs = [x for _, result in group if isinstance(result, Prepared) for x in result.inputs or ()]
        outputs = self._run(inputs, self._batch_size, embeddings)
        start = 0
        answers: list[Prediction | DataError] = []
        for file, result in group:
            if isinstance(result, DataError):
                answers.append(_with_suggestion(result, file))
                continue
            if result.inputs is None:
                clips, _ = self._preparation.read(file)
                part = self._run(map(self._preparation.compute, clips), 1, embeddings)
            else:
                part = outputs[start : start + len(result.inputs)]
                start += len(result.inputs)
            try:
                answers.append(self._best(file, part, top, result.cautions, embeddings))
            except DataError as error:
                answers.append(error)
        return answers

    def _best(
        self, file: Path | None, outputs: "Outputs", top: int | None, cautions: Iterable[Caution], embeddings: bool
    ) -> Prediction:
        """Return the prediction for the clips of one file.

        Raises:
            DataError: the network gives NaN.
            ConfigError: `top` is less than one.
        """
        require_finite(outputs, file)
        if top is not None and top < 1:
            raise ConfigError(f"top={top}: a prediction has at least one class", "leave it out for all classes")
        mean = outputs.probabilities.mean(axis=0)
        best = rank_classes(mean)[:top]
        return Prediction(
            file,
            [self.classes[i] for i in best],
            [float(mean[i]) for i in best],
            list(cautions),
            outputs.embeddings.mean(axis=0) if embeddings else None,
        )

    def _run(self, inputs: Iterable[np.ndarray], batch_size: int, embeddings: bool = False) -> "Outputs":
        """Run the network on inputs that are computed batch by batch."""
        require_bool(embeddings, "embeddings")
        inputs = iter(inputs)
        probabilities = [np.empty((0, len(self.classes)))]
        embedded = []
        while batch := list(islice(inputs, batch_size)):
            outputs = [classifier.outputs(batch, embeddings) for classifier in self._classifiers]
            probabilities.append(np.mean([of_one for of_one, _ in outputs], axis=0))
            embedded.append(np.concatenate([of_one for _, of_one in outputs], axis=1))
        return Outputs(
            np.concatenate(probabilities), np.concatenate(embedded) if embedded else np.empty((0, 0), np.float32)
        )


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network for several inputs."""

    probabilities: np.ndarray
    """Class probabilities (input, class), float64."""
    embeddings: np.ndarray
    """Inputs of the classifier (input, value), float32; of several networks one after the other."""

    def __getitem__(self, part: slice) -> "Outputs":
        return Outputs(self.probabilities[part], self.embeddings[part])


def open_classifiers(models: Sequence[Model], device: str) -> "list[Classifier]":
    """Open networks whose probabilities are averaged.

    Raises:
        ModelError: there is none, or they have other classes or take other inputs.
    """
    if not models:
        raise ModelError("no network is given", "Predictor(MODEL)")
    classifiers = [open_classifier(Path(model), device) for model in models]
    first = classifiers[0]
    for model, other in zip(models, classifiers, strict=True):
        same_frontend = other.description.frontend == first.description.frontend
        same_classes = other.description.classes == first.description.classes
        if not (same_frontend and same_classes and other.input_shape == first.input_shape):
            raise ModelError(
                f"{model} and {models[0]} have other classes, or take other inputs", "average the seeds of one run"
            )
    return classifiers


def require_finite(outputs: Outputs, file: Path | None) -> None:
    """Refuse an answer with NaN, which would have no most probable class.

    Raises:
        DataError: a probability is not finite.
    """
    if not np.isfinite(outputs.probabilities).all():
        raise DataError(
            f"{file or 'samples'}: the network gives NaN for a part of it",
            "a network that divides by the level of its input does so on silence",
        )


def rank_classes(probabilities: np.ndarray) -> np.ndarray:
    """Return the numbers of the classes, the most probable first; of equal ones the first is first, as in argmax.

    >>> rank_classes(np.array([0.25, 0.5, 0.25])).tolist()
    [1, 0, 2]
    """
    return (-probabilities).argsort(kind="stable")


def is_source(value: object) -> bool:
    """Return whether a value is one recording or picture: a path, a file object or an array."""
    return isinstance(value, str | os.PathLike | np.ndarray) or hasattr(value, "read")


def name_of(source: Source) -> Path | None:
    """Return the path of a file, or the name of a file object; None for an array."""
    if isinstance(source, np.ndarray):
        return None
    if isinstance(source, str | os.PathLike):
        return Path(source)
    return name_of_stream(source)


def open_classifier(model: Path, device: str = "cpu") -> "Classifier":
    """Open a network: that of an .onnx file without torch, that of any other file or of a folder with torch.

    Raises:
        RunError, DamagedFileError: there is no model, or its file is damaged.
        ConfigError: unknown device, or one that an .onnx file cannot use.
    """
    if model.is_file() and model.suffix == ".onnx":
        from asc_mrkd.deploy.onnx_session import OnnxClassifier

        if device not in ("cpu", "auto"):
            raise ConfigError(f"device={device}: an .onnx file is computed on the CPU", "leave the device out")
        return OnnxClassifier(model)
    from asc_mrkd.deploy.torch_classifier import TorchClassifier

    return TorchClassifier(model, device)


def _image_suffixes() -> tuple[str, ...]:
    from asc_mrkd.datasets.images.image_folder import IMAGE_SUFFIXES  # here, because it imports pandas

    return IMAGE_SUFFIXES


def _crashed(file: Path) -> DataError:
    return AudioError(f"{file}: {REASONS['crashed']}", "crashed", "asc-mrkd predict MODEL FILE tries it alone")


def _with_suggestion(error: DataError, file: Path) -> DataError:
    """Add to the error of a missing file the name that was probably meant."""
    if not file.exists() and file.parent.is_dir():
        error.hint = suggest(file.name, sorted(path.name for path in file.parent.iterdir())) or error.hint
    return error


def describe_suffixes(files: Sequence[Path]) -> str:
    """Return how many files there are, and their suffixes.

    >>> describe_suffixes([Path("a.m4a"), Path("b.M4A"), Path("c")])
    '3 files of other kinds (.m4a, none)'
    """
    suffixes = sorted({path.suffix.lower() for path in files} - {""})
    if any(not path.suffix for path in files):
        suffixes.append("none")
    return f"{len(files)} {'file' if len(files) == 1 else 'files'} of other kinds ({', '.join(suffixes)})"
