"""Trained networks that an experiment names: teachers of the student, and the start of its training.

A teacher is a network that runs on the student's inputs, or a table of answers stored by clip.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asc_mrkd.config import Experiment, MethodConfig, TrainConfig
from asc_mrkd.deploy.model_file import ModelFile, load_model
from asc_mrkd.engine.data.samples import ExperimentData, Samples
from asc_mrkd.errors import ConfigError, DataError, shell_command
from asc_mrkd.files import file_sha256
from asc_mrkd.methods.registry import STORED_TEACHER
from asc_mrkd.models import build_network, without_storage
from asc_mrkd.runs import find_model
from asc_mrkd.runs.predictions import SUM_TOLERANCE

STORED_HINT = "asc-mrkd predict TEACHER AUDIO --csv > teacher.csv writes it"
"""Hint for a damaged table of answers."""


class NetworkTeacher(nn.Module):
    """A trained network that takes inputs as the student has them.

    Teacher and student take normalised inputs, maybe with different statistics. One is an affine map of the other, also
    where inputs are mixed.

    Args:
        file: the network, with its statistics.
        samples: training set of the student.
    """

    scale: Tensor
    """Factor from inputs that are normalised for the student to those of the teacher."""

    shift: Tensor
    """Sum that is added after the factor."""

    def __init__(self, file: ModelFile, samples: Samples) -> None:
        super().__init__()
        self.network = file.model
        mean = torch.from_numpy(file.mean).to(samples.mean)
        std = torch.from_numpy(file.std).to(samples.std)
        self.is_alike = torch.equal(mean, samples.mean.view_as(mean)) and torch.equal(std, samples.std.view_as(std))
        self.register_buffer("scale", samples.std.view_as(std) / std)
        self.register_buffer("shift", (samples.mean.view_as(mean) - mean) / std)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Map inputs (batch, channel, height, width), normalised for the student, to logits (batch, class)."""
        if not self.is_alike:
            x = x * self.scale + self.shift
        return self.network(x)


class StoredTeacher(nn.Module):
    """Answers that were given before, whatever the input is now.

    Args:
        logits: logarithms of the probabilities (sample, class).
    """

    logits: Tensor

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the logits (batch, class) of the samples with these numbers (batch,)."""
        return self.logits[index]


def load_teacher(path: str, samples: Samples, num_classes: int, memory_format: torch.memory_format) -> nn.Module:
    """Read a teacher that `require_fitting_teachers` has let pass, onto the device of the samples.

    Args:
        path: model file, run or seed folder, .onnx file, or .csv file of probabilities by clip.
        samples: training set of the student.
        num_classes: classes.
        memory_format: memory format of the inputs.

    Raises:
        DataError: the table lacks a clip of the training set.
    """
    if path.endswith(STORED_TEACHER):
        logits = stored_logits(Path(path), samples.table["filename"], num_classes)
        return StoredTeacher(torch.from_numpy(logits).to(samples.labels.device))
    teacher = NetworkTeacher(load_model(path), samples).to(samples.labels.device)
    return teacher.to(memory_format=memory_format)  # type: ignore[call-overload]


def identify_teachers(section: MethodConfig) -> MethodConfig:
    """Return the section with the SHA-256 of every file that teaches; a section without teachers stays as it is.

    Raises:
        RunError: there is no trained model.
        ConfigError: a file has another SHA-256 than the section says.
    """
    files = section.options.get("teacher_files")
    if not files:
        return section
    digests = [file_sha256(find_model(path)) for path in files]
    expected = section.options["teacher_digests"]
    if expected not in (None, digests):
        raise ConfigError(
            f"the teachers {', '.join(files)} are not those that this experiment belongs to: their SHA-256 differ",
            "bring the former files back; method.teacher_digests=null takes any",
        )
    return MethodConfig(name=section.name, **section.options | {"teacher_digests": digests})


def require_fitting_teachers(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse teachers with other classes or other inputs than the data have.

    Raises:
        ConfigError: the teacher does not fit, or its table is damaged.
        RunError, DamagedFileError: it cannot be read.
    """
    for path in experiment.method.options.get("teacher_files") or ():
        if path.endswith(STORED_TEACHER):
            read_probabilities(Path(path), len(source.classes), source.classes)
            continue
        file = load_model(path)
        if file.classes != source.classes:
            raise ConfigError(
                f"the teacher {path} has other classes than the data: {', '.join(file.classes)}",
                "train a teacher on data with the same classes",
            )
        if file.frontend != source.frontend or tuple(file.input_shape) != tuple(source.input_shape):
            raise ConfigError(
                f"the teacher {path} has another front end than {experiment.data.folder}",
                f"store its answers: {shell_command('asc-mrkd', 'predict', path, 'AUDIO', '--csv')} > teacher.csv; "
                "then method.teacher_files=[teacher.csv]",
            )
        is_cut = experiment.training_shape(source.input_shape) != source.input_shape
        if is_cut and find_model(path).suffix == ".onnx":
            size = " x ".join(map(str, file.input_shape))
            raise ConfigError(
                f"the teacher {path} takes inputs of {size} alone, which augment.crop_frames cuts",
                "write augment.crop_frames=null, or name the run that was exported",
            )


def identify_start(section: TrainConfig) -> TrainConfig:
    """Return the section with the SHA-256 of the network that the training starts from, if it names one.

    Raises:
        RunError: there is no trained model.
        ConfigError: its file has another SHA-256 than the section says.
    """
    if section.start is None:
        return section
    digest = file_sha256(find_model(section.start))
    if section.start_digest not in (None, digest):
        raise ConfigError(
            f"{section.start} is not the network that this experiment starts from",
            "bring the former file back; train.start_digest=null takes any",
        )
    return section.model_copy(update={"start_digest": digest})


def require_fitting_start(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse a start that is another network than the student, or was trained on other inputs.

    Raises:
        ConfigError: the difference is named.
        RunError, DamagedFileError: it cannot be read.
    """
    start = experiment.train.start
    if start is None:
        return
    if experiment.data.folds is not None:
        raise ConfigError(
            f"train.start={start} may have been trained with the test clips of a fold", "leave data.folds out"
        )
    file = load_model(start)
    expected = {"name": experiment.model.label, "num_classes": len(source.classes)}
    for key, value in expected.items():
        if file.architecture[key] != value:
            raise ConfigError(
                f"train.start={start}: its {key} is {file.architecture[key]} instead of {value}",
                "start from a network like the student",
            )
    with without_storage():
        student = build_network(experiment.model.name, len(source.classes), **experiment.model.options).state_dict()
    shapes = {name: tensor.shape for name, tensor in file.model.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in student.items()}:
        raise ConfigError(
            f"train.start={start} has other options than the student: {file.architecture['options']}",
            "write the same model.options",
        )
    if file.classes != source.classes or file.frontend != source.frontend:
        raise ConfigError(
            f"train.start={start} was trained with other classes or another front end", "take a store like its own"
        )


def stored_logits(path: Path, names: Sequence[str] | pd.Series, num_classes: int) -> np.ndarray:
    """Return the logarithms of stored probabilities (clip, class), float32, of these clips in their order.

    A clip is known by the last part of its name.

    Raises:
        ConfigError: the table is damaged.
        DataError: it lacks one of the clips, or two clips have the same last part.
    """
    table = read_probabilities(path, num_classes)
    wanted = pd.Index([Path(name).name for name in names])
    twice = wanted[wanted.duplicated()]
    if len(twice):
        raise DataError(
            f"{path}: several training clips are called {twice[0]}", "a stored teacher needs clips with different names"
        )
    missing = [name for name in wanted if name not in table.index]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of {len(wanted)} training clips, first {missing[0]}",
            "predict all clips of the training split with the teacher",
        )
    probabilities = table.loc[wanted].to_numpy(np.float64)
    smallest = np.finfo(np.float32).tiny
    return np.log(np.maximum(probabilities, smallest)).astype(np.float32)


def read_probabilities(path: Path, num_classes: int, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the table of a stored teacher: a column `file` or `filename`, and at the end a column per class.

    Args:
        path: the .csv file.
        num_classes: classes.
        classes: names of the classes in their order; None takes any.

    Returns:
        Probabilities (clip, class) by the last part of the name of the clip.

    Raises:
        ConfigError: a column is missing or not a number, a clip appears twice, or its probabilities are not valid.
    """
    try:
        table = pd.read_csv(path)
        names = table["file" if "file" in table else "filename"].map(lambda name: Path(str(name)).name)
        columns = table.columns[-num_classes:]
        probabilities = table[columns].set_axis(names, axis=0).astype(np.float64)
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise ConfigError(f"{path} is not a table of probabilities by clip: {error}", STORED_HINT) from None
    if classes is not None and list(columns) != list(classes):
        raise ConfigError(f"the last columns of {path} are not the classes {', '.join(classes)}", STORED_HINT)
    twice = probabilities.index[probabilities.index.duplicated()]
    if len(twice):
        raise ConfigError(f"{path} has two rows for {twice[0]}", "give every clip its own name")
    values = probabilities.to_numpy()
    is_valid = (values >= 0).all(1) & (np.abs(values.sum(1) - 1) < SUM_TOLERANCE)
    if not is_valid.all():
        raise ConfigError(
            f"{path}: {probabilities.index[int(np.argmin(is_valid))]} has no valid probabilities", STORED_HINT
        )
    return probabilities
