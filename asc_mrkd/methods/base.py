"""What every training method offers the engine, and what it may know of the run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, at_least_float32, cross_entropy, kl_divergence


@dataclass(frozen=True)
class Run:
    """What a method may know of the run when it is built.

    Attributes:
        num_classes: classes.
        total_steps: optimiser steps of the whole run, over all generations.
        steps_per_epoch: optimiser steps of an epoch.
        train_samples: samples of the training set.
        input_shape: of one input, without the batch.
        seed: of the run.
        new_model: builds another network like the student from a seed, with initial weights of its own, on the
            student's device; torch's global generator is left untouched.
    """

    num_classes: int
    total_steps: int
    steps_per_epoch: int
    train_samples: int
    input_shape: tuple[int, ...]
    seed: int
    new_model: Callable[[int], nn.Module]


class Method(Protocol):
    """A module that owns the student and whatever else is trained or kept, and turns a batch into losses.

    In a data-parallel run each process gets its share of the batch; gradients and the statistics of batch
    normalisation are averaged outside of the method, which keeps the same state in every process.
    """

    model: nn.Module
    """The student: the only part that is exported."""

    needs: ClassVar[tuple[str, ...]]
    """What it takes by name beside inputs and labels:

    - `index`: the numbers of the samples in the training set (batch,);
    - `second_view`: the same samples with other draws of the augmentation, mixed alike;
    - `pair`: for every sample another one of its class, mixed alike;
    - `previous`: inputs and labels of the batch before, in another view; None in the first step of a run.
    """

    def __call__(self, x: Any, labels: Labels, **needed: Any) -> Losses:
        """Return the losses of a batch."""

    def step(self) -> None:
        """Be told that the optimiser has taken a step."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device and into a memory format, as `torch.nn.Module.to` does."""

    def train(self) -> Any:
        """Switch to training mode."""

    def modules(self) -> Iterator[nn.Module]:
        """Return all layers, those of the student and of what is trained beside it."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what the optimiser trains."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Go on from a `state_dict`."""


def labels_alone(model: nn.Module, x: Any, labels: Labels) -> Losses:
    """Return the cross-entropy of a batch: what every method gives in evaluation mode or while nothing teaches yet."""
    logits = logits_of(model(x))
    ce = cross_entropy(logits, labels)
    return Losses(ce, logits, {"ce": ce.detach()})


def distillation(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return tau^2 KL(teacher || student) of two classifiers at the temperature tau; the teacher gets no gradient.

    Args:
        teacher: logits (batch, class).
        student: logits (batch, class).
        temperature: tau.

    >>> import torch
    >>> float(distillation(torch.eye(3), torch.eye(3), 4.0))
    0.0
    """
    log_target = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    return temperature**2 * kl_divergence(log_target, student, temperature)
