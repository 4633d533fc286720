"""The checks of an experiment before its first step: the files that it names, and whether its parts fit each other."""

import warnings

import torch
from torch import nn

from asc_mrkd.config import Experiment
from asc_mrkd.config.domain import require_class_names
from asc_mrkd.device import has_fast_bfloat16
from asc_mrkd.dist import rank
from asc_mrkd.engine.data.responses import identify_responses, require_fitting_responses
from asc_mrkd.engine.data.samples import ExperimentData, open_data
from asc_mrkd.engine.teachers import (
    identify_start,
    identify_teachers,
    require_fitting_start,
    require_fitting_teachers,
)
from asc_mrkd.errors import ModelError, first_line
from asc_mrkd.methods import method_entry
from asc_mrkd.models import build_network, require_buildable, without_storage
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.own_code import allow_code, parse_own
from asc_mrkd.runs import RunFolder

OTHER_ERRORS = (TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""Exceptions of a user's network that is given inputs of another size, besides those of torch."""


def open_trainable(experiment: Experiment, run: RunFolder) -> ExperimentData:
    """Open the data of an experiment that can be trained in that folder, without reading them.

    Raises:
        StoreError, DataError, ModelError: the data or the network cannot be used.
        ConfigError: the augmentation or the method does not go with the data.
        RunError: the folder belongs to another experiment or to other data.
    """
    source = open_data(experiment.data)
    require_class_names(source.classes)
    run.require_same(with_digests(experiment, source))
    require_fitting(experiment, source)
    return source


def with_digests(experiment: Experiment, source: ExperimentData) -> Experiment:
    """Return the experiment with the digests of all files that it names."""
    data = experiment.data.model_copy(update={"digest": source.digest})
    augment = identify_responses(experiment.augment)
    method = identify_teachers(experiment.method)
    training = identify_start(experiment.train)
    return experiment.model_copy(update={"data": data, "augment": augment, "method": method, "train": training})


def require_unchanged_files(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse to train a seed with other teachers, start, responses or code than the run names.

    Raises:
        ConfigError: a file has changed since the experiment got its digests.
    """
    with_digests(experiment.with_code(), source)


def with_fixed_precision(experiment: Experiment, run: RunFolder, device: torch.device) -> Experiment:
    """Return the experiment with the precision of the run folder, or in a new one that of the device, for `auto`.

    So config.yaml names the precision, and all seeds of a run have the same one, also on machines of several kinds.
    """
    if experiment.train.precision != "auto":
        return experiment
    precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    if run.config_file.exists():
        kept = run.experiment.train.precision
        if kept == "bfloat16" and precision == "float32" and rank() == 0:
            warnings.warn(f"{run} is trained in bfloat16, also here, where it is slow", stacklevel=2)
        precision = kept
    settings = experiment.train.model_copy(update={"precision": precision})
    return experiment.model_copy(update={"train": settings})


def require_fitting(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse a network, a method, an augmentation, teachers or a start that do not fit the data or each other.

    A network in a file of the user is allowed to run for model files too: those of the teachers, the start or finished
    seeds may be of the same network.

    Raises:
        ModelError: the network cannot be built, is too large, or does not take inputs of that size.
        ConfigError: the augmentation, the method, a teacher or the start does not fit.
        RunError, DamagedFileError: a teacher or the start cannot be read.
    """
    experiment.require_fitting_augmentation(source.input_shape)
    own = parse_own(experiment.model.name)
    if own is not None:
        allow_code(own.file)
    require_fitting_teachers(experiment, source)
    require_fitting_responses(experiment.augment, source)
    require_fitting_start(experiment, source)
    _require_fitting_network(experiment, source)


def _require_fitting_network(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse a network that cannot be built, or does not take the data or the method.

    It runs without values; one in a file of the user, which may not bear that, runs on the CPU.
    """
    trained_shape = experiment.training_shape(source.input_shape)
    place = without_storage() if parse_own(experiment.model.name) is None else torch.device("cpu")
    with place, torch.random.fork_rng(devices=[]), torch.no_grad():
        network = build_network(experiment.model.name, len(source.classes), **experiment.model.options)
        require_buildable(network, experiment.model.name)
        network.eval()
        _require_logits(network, experiment, source, source.input_shape)
        network.train()
        for shape in dict.fromkeys((source.input_shape, trained_shape)):
            _require_logits(network, experiment, source, shape)
        method_class = method_entry(experiment.method.name).method_class
        method_class.check_network(experiment.method.options, network, trained_shape)


def _require_logits(network: nn.Module, experiment: Experiment, source: ExperimentData, shape: tuple[int, ...]) -> None:
    """Refuse a network that does not map inputs of a shape to logits, which it has to return alone in evaluation mode.

    Raises:
        ModelError: it fails, or returns something else.
    """
    name = experiment.model.name
    try:
        output = network(torch.zeros(2, *shape))
        logits = logits_of(output)
    except (RuntimeError, ValueError, *OTHER_ERRORS) as error:
        size = " x ".join(map(str, shape))
        hint = f"model.options.in_channels={shape[0]}"
        if shape != source.input_shape:
            hint = f"{hint}, or a larger augment.crop_frames"
        raise ModelError(f"{name} does not take inputs of {size}: {first_line(error)}", hint) from None
    if logits.shape != (2, len(source.classes)):
        raise ModelError(
            f"{name} maps 2 inputs to {tuple(logits.shape)}, not to 2 x {len(source.classes)}",
            "the network gives logits (batch, class)",
        )
    if not network.training and output is not logits:
        raise ModelError(
            f"{name} returns {type(output).__name__} in evaluation mode, not the logits (batch, class) alone",
            "return the tensor of the logits where `self.training` is false",
        )
