"""The base class of training methods: the facts of a run that they may ask for, and the losses that they return."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import create_model
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.config import Experiment
from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, at_least_float32, cross_entropy, kind_of, kl_divergence
from asc_mrkd.schema import Schema

LOGGED = (
    "seed",
    "epoch",
    "epochs",
    "step",
    "lr",
    "loss",
    "train_accuracy",
    "skipped_steps",
    "seconds",
    "samples_per_second",
    "test_accuracy",
    "test_log_loss",
)
"""Values of the log that every method has; a method cannot call a part of its loss by their names."""


NEEDS = ("index", "second_view", "pair", "previous")
"""Inputs that a method may ask for."""


def refuse_teacher(path: str) -> nn.Module:
    """Stand in for the reader of trained teachers in a run that has none.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"{path} cannot be a teacher here: trained teachers are read by the engine", "asc-mrkd train")


@dataclass(frozen=True)
class TrainingContext:
    """Facts of a run that a method may ask for, by the names of its parameters."""

    num_classes: int
    """Number of classes."""
    input_shape: tuple[int, ...]
    """Shape of one input, without the batch."""
    train_samples: int
    """Samples of the training set."""
    epochs: int
    """Epochs of a generation; methods with one generation are trained for as many."""
    steps_per_epoch: int
    """Optimiser steps per epoch."""
    seed: int
    """Seed of the run."""
    new_model: Callable[[int], nn.Module]
    """Function that builds another network like the student from a seed, on the student's device; torch's global
    generator is left untouched."""
    load_teacher: Callable[[str], nn.Module] = refuse_teacher
    """Function that reads a trained teacher from a path and returns a module on the student's device: from inputs of
    the student (batch, ...) and numbers of samples (batch,) to logits (batch, class)."""

    @property
    def total_steps(self) -> int:
        """Optimiser steps of a generation."""
        return self.epochs * self.steps_per_epoch


class Method(nn.Module):
    """A module that holds the student and everything else that is trained or kept, and turns a batch into losses.

    A method is one subclass in one file and one row of `registry.METHODS`. It sets `model` and implements
    `training_losses`. The parameters of its class without a default are fields of `TrainingContext`; those with a
    default are the options of the method in an experiment, checked against their types and ranges.

    In a data-parallel run each process gets its share of the batch. Gradients and the statistics of batch
    normalisation are averaged outside the method, which keeps the same state in every process.
    """

    model: nn.Module
    """The student: the only part that is exported."""

    needs: tuple[str, ...] = ()
    """Some of NEEDS, inputs of `training_losses` besides the batch and its labels, passed by name:

    - `index`: numbers of the samples in the training set (batch,);
    - `second_view`: the same samples with other draws of the augmentation, mixed alike;
    - `pair`: for every sample another one of its class, mixed alike;
    - `previous`: inputs and labels of the previous batch in another view; None in the first step of a run.
    """

    generations = 1
    """Trainings of `train.epochs` epochs, one after the other, each with a new optimiser and schedule."""

    period: int | None = None
    """Epochs after which the batches and their draws have to come back; None if they never do."""

    has_unused_parameters = False
    """Whether some parameters get no gradient in the next step."""

    training_losses: Callable[..., Losses]
    """Function of inputs, labels and `needs` that returns the losses of a batch in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        """Optimiser steps taken."""

    def forward(self, x: Any, labels: Labels, **inputs: Any) -> Losses:
        """Return the losses of a batch; in evaluation mode the student's cross-entropy alone.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            inputs: the inputs named in `needs`.
        """
        if not self.training:
            return label_losses(self.model, x, labels)
        self.start_due_generation()
        return self.training_losses(x, labels, **inputs)

    def start_due_generation(self) -> None:
        """Start the next generation if it is due; a method with one generation has nothing to do.

        `forward` calls this before a batch, and the engine before it sets masks of pruning, which are made for the
        weights of the generation.
        """

    def step(self) -> None:
        """Count one optimiser step."""
        self.steps += 1

    def get_extra_state(self) -> dict[str, Any]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]

    @classmethod
    def options_schema(cls) -> type[Schema]:
        """Return the schema of the options: the parameters with a default, with their types and ranges."""
        return create_model(cls.__name__, __base__=Schema, **parameters_with_default(cls))

    @classmethod
    def check_experiment(cls, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Refuse an experiment that the method cannot train.

        Args:
            options: all options of the method.
            experiment: the other sections.

        Raises:
            ConfigError: another section does not go with these options.
        """

    @classmethod
    def check_network(cls, options: Mapping[str, Any], network: nn.Module, input_shape: tuple[int, ...]) -> None:
        """Refuse a network that the method cannot train; nothing of it changes.

        Args:
            options: all options of the method.
            network: the student, on any device, also without storage.
            input_shape: shape of one input, without the batch.

        Raises:
            ConfigError: the options do not go with the network.
            ModelError: the network cannot be trained so.
        """


def parameters_with_default(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotation and the default of every parameter that has one, in the order of the signature.

    >>> def scale(x: float, factor: float = 2.0) -> float: ...
    >>> parameters_with_default(scale)
    {'factor': (<class 'float'>, 2.0)}
    """
    parameters = inspect.signature(function).parameters.values()
    return {one.name: (one.annotation, one.default) for one in parameters if one.default is not one.empty}


def label_losses(model: nn.Module, x: Any, labels: Labels) -> Losses:
    """Return the cross-entropy of a batch, with the part `ce`."""
    logits = logits_of(model(x))
    ce = cross_entropy(logits, labels)
    return Losses(ce, logits, {"ce": ce.detach()})


def cross_entropies(
    logits: Sequence[Tensor], labels: Labels, others: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the cross-entropy of each of several classifiers, and the same as parts of a loss, by name.

    Args:
        logits: logits of the student, then of the other classifiers, (batch, class) each.
        labels: class indices (batch,) or `MixedLabels`.
        others: names of the other classifiers.

    Returns:
        (classifier,); and the parts `ce` of the student and `ce_NAME` of the others, without gradients.

    >>> ce, parts = cross_entropies([torch.eye(3), torch.eye(3)], torch.arange(3), ["peer1"])
    >>> list(parts)
    ['ce', 'ce_peer1']
    """
    ce = torch.stack([cross_entropy(z, labels) for z in logits])
    names = ("ce", *(f"ce_{name}" for name in others))
    return ce, dict(zip(names, ce.detach(), strict=True))


def distillation(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return tau^2 KL(teacher || student) of two classifiers at the temperature tau; the teacher gets no gradient.

    Args:
        teacher: logits (batch, class).
        student: logits (batch, class).
        temperature: tau.

    >>> float(distillation(torch.eye(3), torch.eye(3), 4.0))
    0.0
    """
    log_target = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    return temperature**2 * kl_divergence(log_target, student, temperature)


def mutual_divergence(
    logits: Sequence[Tensor], temperature: float, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """Return the sum over k of the mean, or sum, over j != k of KL(p_j || p_k); the gradient reaches p_k only.

    Args:
        logits: logits of two or more classifiers, (batch, class) each.
        temperature: tau; the factor tau^2 is not included.
        reduction: reduction over j.

    >>> float(mutual_divergence([torch.eye(3), torch.eye(3)], 3.0))
    0.0
    """
    targets = [F.log_softmax(at_least_float32(z.detach()) / temperature, dim=1) for z in logits]
    pairs = [
        kl_divergence(target, z, temperature)
        for k, z in enumerate(logits)
        for j, target in enumerate(targets)
        if j != k
    ]
    total = torch.stack(pairs).sum()
    if reduction == "mean":
        return total / (len(logits) - 1)
    return total


def require_method(method: Method, model: nn.Module, name: str) -> None:
    """Refuse a method of the user that does not train the student, or whose losses cannot be asked for.

    Args:
        method: the method.
        model: the student that it was given.
        name: name of the method in the experiment.

    Raises:
        ConfigError: it has another student, needs inputs that do not exist, or does not take those that it needs.
    """
    if getattr(method, "model", None) is not model:
        raise ConfigError(f"{name} does not keep the student that it is given", "write self.model = model")
    if isinstance(method.needs, str):
        raise ConfigError(f"{name}: needs is a text, not a tuple", f"write needs = ({method.needs!r},)")
    for need in method.needs:
        if need not in NEEDS:
            raise ConfigError(f"{name} needs '{need}', which a batch does not have", suggest(need, NEEDS))
    if not hasattr(method, "training_losses"):
        raise ConfigError(f"{name} has no function training_losses", "write def training_losses(self, x, labels)")
    try:
        inspect.signature(method.training_losses).bind(None, None, **dict.fromkeys(method.needs))
    except TypeError as error:
        arguments = ", ".join(("self", "x", "labels", *method.needs))
        raise ConfigError(
            f"training_losses of {name} cannot be called: {error}",
            f"needs is {method.needs!r}: write def training_losses({arguments}), or change needs",
        ) from None


def require_losses(losses: Any, rows: int) -> None:
    """Refuse what a method of the user returns in place of losses.

    Args:
        losses: result of the method.
        rows: inputs in the batch.

    Raises:
        ConfigError: it is something else, its total is not a scalar with a gradient, or its logits are not those of the
            batch.

    >>> require_losses(Losses(torch.zeros((), requires_grad=True), torch.zeros(2, 3)), rows=2)
    """
    if not isinstance(losses, Losses):
        raise ConfigError(
            f"the method returns {type(losses).__name__}, not Losses",
            "return asc_mrkd.mrkd.Losses(total, logits, parts)",
        )
    total = losses.total
    if not isinstance(total, Tensor) or total.dim() or not total.requires_grad:
        raise ConfigError(
            "the total loss of the method is not a scalar tensor with a gradient",
            "return the mean over the batch, not detached",
        )
    logits = losses.logits
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != rows:
        raise ConfigError(
            f"the logits of the method are {kind_of(logits)}, not those of the student for {rows} inputs",
            "return the logits (batch, class) as the second value of Losses",
        )


def scalars_of(parts: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Return the parts of a loss as scalars on a device; the methods of users may give plain numbers.

    Raises:
        ConfigError: a part is not one number, or has the name of another value of the log.

    >>> scalars_of({"weight": 0.5}, torch.device("cpu"))
    {'weight': tensor(0.5000)}
    """
    scalars: dict[str, Tensor] = {}
    for name, value in parts.items():
        if name in LOGGED:
            raise ConfigError(
                f"the method calls a part of its loss '{name}', as another value of the log is called",
                "rename the part",
            )
        if isinstance(value, Tensor | float | int):
            scalars[name] = torch.as_tensor(value, device=device).detach()
        if name not in scalars or scalars[name].dim():
            raise ConfigError(
                f"the part '{name}' of the loss of the method is not one number but {type(value).__name__}",
                "parts are scalars, such as a mean over the batch",
            )
    return scalars
