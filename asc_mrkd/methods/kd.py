"""Knowledge distillation: trained networks teach the student.

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015); Zhao et al., "Decoupled Knowledge
Distillation" (CVPR 2022); Sun et al., "Logit Standardization in Knowledge Distillation" (CVPR 2024).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.config import Experiment
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods.base import Method, distillation, label_losses
from asc_mrkd.methods.mrkd import IntervalOption, require_fitting_augmentation
from asc_mrkd.methods.registry import STORED_TEACHER
from asc_mrkd.methods.schedules import gaussian_ramp, linear_ramp
from asc_mrkd.mrkd import Interval, MemoryReplay
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, at_least_float32
from asc_mrkd.mrkd.networks import copy_input, device_of
from asc_mrkd.mrkd.teachers import CachedTeachers
from asc_mrkd.schema import NotNegative, PathName, Temperature

TINY = 1e-7
"""Number that keeps the deviation of logits from being zero, as in the code of Sun et al."""


def _read_one_file(value: Any) -> Any:
    """Return a list of the one file that is given as a text."""
    if isinstance(value, str):
        return [value]
    return value


TeacherFiles = Annotated[list[PathName], Field(max_length=64), BeforeValidator(_read_one_file)]
"""Files of teachers, of which a single one may be written without a list."""


class Kd(Method):
    """Knowledge distillation: one or several trained networks, named by `teacher_files`, teach the student.

    The loss is label_weight CE + weight tau^2 KL(p_teacher || p_student). With `loss=dkd` the decoupled divergence
    takes the place of KL. The teachers see the same inputs, in evaluation mode, and get no gradient; the logits of
    several are averaged. Stored teachers gave their answers before, to the clips without augmentation.

    Hinton's weights are the defaults. Zhao et al. have label_weight=1, loss=dkd and a linear ramp of 20 epochs; Sun et
    al. have standardise=true, temperature=2, label_weight=0.1 and weight=9.

    The teachers are read again when a run continues, and its checkpoints do not hold them. A run knows them by the
    checksums of their files.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: classes.
        train_samples: samples of the training set.
        total_steps: optimiser steps of the run.
        steps_per_epoch: optimiser steps per epoch.
        seed: seed of the run.
        load_teacher: function that reads a teacher and returns a module from inputs (batch, ...) and numbers of samples
            (batch,) to logits (batch, class).
        teacher_files: the teachers: model files, run or seed folders, .onnx files, or .csv files of probabilities by
            clip, as `asc-mrkd predict TEACHER FOLDER --csv` prints them.
        teacher_digests: SHA-256 of these files, as training notes them; None takes any.
        teachers: `exact` runs the teachers on every batch; `cached` runs them once on every sample and keeps the logits
            in float16, which needs the same inputs in every epoch.
        loss: divergence from the teacher: `kd` (Hinton et al.) or `dkd` (Zhao et al.).
        standardise: whether the logits of both sides have zero mean and unit deviation before the divergence (Sun et
            al.).
        temperature: tau.
        label_weight: weight of the cross-entropy.
        weight: weight of the divergence; with 0 and label_weight=1 the student is trained exactly on the labels.
        target_weight: weight of the label's class in the decoupled divergence.
        other_weight: weight of the other classes in the decoupled divergence.
        ramp: course of the weight: constant, or growing over `ramp_interval`.
        ramp_interval: length of the ramp: steps, a share of the run, or "20 epochs".
        variant: `mrkd` makes backups of the student further teachers: the loss of MrKD with its defaults takes the
            place of the cross-entropy.
        backups: source of the backups' logits with `variant=mrkd`, as `teachers` of mrkd: `exact` or `replay`.
    """

    needs = ("index",)

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        train_samples: int,
        total_steps: int,
        steps_per_epoch: int,
        seed: int,
        load_teacher: Callable[[str], nn.Module],
        *,
        teacher_files: TeacherFiles | None = None,
        teacher_digests: list[str] | None = None,
        teachers: Literal["exact", "cached"] = "exact",
        loss: Literal["kd", "dkd"] = "kd",
        standardise: bool = False,
        temperature: Temperature = 4.0,
        label_weight: NotNegative = 0.1,
        weight: NotNegative = 0.9,
        target_weight: NotNegative = 1.0,
        other_weight: NotNegative = 8.0,
        ramp: Literal["none", "linear", "gaussian"] = "none",
        ramp_interval: IntervalOption = 0.1,
        variant: Literal["alone", "mrkd"] = "alone",
        backups: Literal["exact", "replay"] = "exact",
    ) -> None:
        super().__init__()
        self.model = model
        self.teacher = TeacherEnsemble([load_teacher(path) for path in teacher_files or ()])
        self.cache: CachedTeachers | None = None
        if teachers == "cached":
            self.cache = build_cache(self.teacher, train_samples, num_classes).to(device_of(model))
        self.replay: MemoryReplay | None = None
        if variant == "mrkd":
            self.replay = MemoryReplay(
                model,
                num_classes,
                teachers=backups,
                total_steps=total_steps,
                num_samples=train_samples,
                steps_per_epoch=steps_per_epoch,
                seed=seed,
            )
        self.loss = loss
        self.standardise = standardise
        self.temperature = temperature
        self.label_weight = label_weight
        self.weight = weight
        self.target_weight = target_weight
        self.other_weight = other_weight
        self.ramp = ramp
        self.ramp_steps = Interval.parse(ramp_interval).in_steps(total_steps, steps_per_epoch)

    @property
    def has_unused_parameters(self) -> bool:  # type: ignore[override]
        """Whether the ensemble of the backups gets no gradient, as before there is a backup."""
        return self.replay is not None and self.replay.distillation_weight() == 0

    def training_losses(self, x: Any, labels: Labels, index: Tensor) -> Losses:
        """Return the loss of a batch; its part `teacher_kd` is the divergence from the trained teachers.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            index: numbers of the samples in the training set (batch,).
        """
        weight = self.distillation_weight()
        teacher_logits = None
        if weight > 0 and self.teacher.networks:  # before the student, whose activations stay until the backward pass
            teacher_logits = self._teacher_logits(x, index)
        if self.replay is None:
            losses = label_losses(self.model, x, labels)
        else:
            losses = self.replay(x, labels, samples=index)
        total = self.label_weight * losses.total
        if teacher_logits is None:
            return Losses(total, losses.logits, losses.parts)
        divergence = self._divergence(teacher_logits, losses.logits, labels)
        parts = losses.parts | {"teacher_kd": divergence.detach()}
        return Losses(total + weight * divergence, losses.logits, parts)

    def step(self) -> None:
        """Count one optimiser step; the backups, if there are any, count it too."""
        super().step()
        if self.replay is not None:
            self.replay.step()

    def distillation_weight(self) -> float:
        """Return the weight of the divergence at this step."""
        if self.ramp == "linear":
            return linear_ramp(self.weight, self.steps, self.ramp_steps)
        if self.ramp == "gaussian":
            return gaussian_ramp(self.weight, self.steps, self.ramp_steps)
        return self.weight

    def _teacher_logits(self, x: Any, index: Tensor) -> Tensor:
        """Return the logits of the teachers (batch, class), from the cache if there is one."""
        keywords = {"index": index}
        if self.cache is None:
            return self.teacher.run(0, x, keywords)
        return self.cache(x, 1, index, keywords).logits[0]

    def _divergence(self, teacher: Tensor, student: Tensor, labels: Labels) -> Tensor:
        """Return the divergence of the student from the teachers, with the factor tau^2."""
        if self.standardise:
            teacher = standardised(teacher)
            student = standardised(student)
        if self.loss == "kd":
            return distillation(teacher, student, self.temperature)
        return decoupled_distillation(teacher, student, labels, self.temperature, self.target_weight, self.other_weight)

    @classmethod
    def check_experiment(cls, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Refuse an experiment without teachers, and one whose inputs the teachers would have to know before.

        Raises:
            ConfigError: the option or the augmentation is named.
        """
        files = options["teacher_files"]
        if not files:
            raise ConfigError("kd has no teacher: method.teacher_files is empty", "method.teacher_files=exp/teacher")
        if experiment.data.is_cross_validation:
            raise ConfigError(
                "the teachers of kd may have been trained with the test clips of a fold",
                "train one fold at a time, data.fold=1, with teachers of that fold",
            )
        if any(path.endswith(STORED_TEACHER) for path in files) and experiment.augment.mixup:
            raise ConfigError(
                "stored probabilities are of single clips, which augment.mixup mixes",
                "write augment.mixup=0, or name a network in method.teacher_files",
            )
        require_fitting_augmentation(options["teachers"], experiment)
        if options["variant"] == "mrkd":
            require_fitting_augmentation(options["backups"], experiment, option="backups")


class TeacherEnsemble:
    """Trained networks whose logits are averaged; not a module, so that no optimiser and no checkpoint has them.

    `CachedTeachers` takes it for a single backup, of age 0.

    Args:
        networks: modules from inputs and numbers of samples (batch,) to logits (batch, class).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.networks = tuple(network.eval().requires_grad_(False) for network in networks)

    def __len__(self) -> int:
        return 1

    @torch.no_grad()
    def run(self, age: int, x: Any, keywords: Mapping[str, Any]) -> Tensor:
        """Return the mean logits (batch, class), float32, of inputs `x` and samples `keywords["index"]`."""
        logits = [logits_of(network(copy_input(x, keywords["index"].device), **keywords)) for network in self.networks]
        return torch.stack([at_least_float32(one) for one in logits]).mean(0)


def build_cache(teacher: TeacherEnsemble, train_samples: int, num_classes: int) -> CachedTeachers:
    """Return a cache of the logits of trained teachers; to it they are one backup, which was pushed once."""
    backups: Any = teacher
    cache = CachedTeachers(backups, train_samples, num_classes, whole_batches=False)
    cache.pushed = 1
    return cache


def standardised(logits: Tensor) -> Tensor:
    """Return logits (batch, class) with zero mean and unit deviation over the classes (Sun et al., CVPR 2024).

    >>> standardised(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[-0.9999998807907104, 0.0, 0.9999998807907104]]
    """
    logits = at_least_float32(logits)
    return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + TINY)


def decoupled_distillation(
    teacher: Tensor,
    student: Tensor,
    labels: Labels,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Return tau^2 (a KL_target + b KL_other), averaged over the batch (Zhao et al., CVPR 2022).

    KL_target compares the probability of the label's class with that of all others together, KL_other the others among
    themselves. With a = 1 and b = 1 - p_teacher(label) it would be `distillation`. For mixed labels the result is that
    of either label, weighted sample by sample.

    Args:
        teacher: logits (batch, class), which get no gradient.
        student: logits (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        temperature: tau.
        target_weight: a.
        other_weight: b.
    """

    def of_samples(one: Tensor) -> Tensor:
        return _decoupled_divergences(teacher, student, one, temperature, target_weight, other_weight)

    if isinstance(labels, MixedLabels):
        weight = labels.weight.to(student.device)
        divergences = weight * of_samples(labels.first) + (1 - weight) * of_samples(labels.second)
    else:
        divergences = of_samples(labels)
    return temperature**2 * divergences.mean()


def _decoupled_divergences(
    teacher: Tensor, student: Tensor, labels: Tensor, temperature: float, target_weight: float, other_weight: float
) -> Tensor:
    """Return the decoupled divergence of each sample (batch,)."""
    target = labels.unsqueeze(1)
    others = torch.arange(teacher.shape[1] - 1, device=labels.device).expand(len(labels), -1)
    others = others + (others >= target)  # all classes but that of the label
    log_teacher = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    log_student = F.log_softmax(at_least_float32(student) / temperature, dim=1)
    teacher_others = log_teacher.gather(1, others)
    student_others = log_student.gather(1, others)
    teacher_rest = teacher_others.logsumexp(1, keepdim=True)
    student_rest = student_others.logsumexp(1, keepdim=True)
    of_target = _divergence_of(
        torch.cat([log_teacher.gather(1, target), teacher_rest], 1),
        torch.cat([log_student.gather(1, target), student_rest], 1),
    )
    of_others = _divergence_of(teacher_others - teacher_rest, student_others - student_rest)
    return target_weight * of_target + other_weight * of_others


def _divergence_of(log_teacher: Tensor, log_student: Tensor) -> Tensor:
    """Return KL(teacher || student) of each sample (batch,) from log-probabilities (batch, class)."""
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
