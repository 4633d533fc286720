"""Memory-replay Knowledge Distillation as one module around any classifier (Algorithms 1 and 2)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd import dist
from asc_mrkd.errors import ConfigError, require_bool, suggest
from asc_mrkd.mrkd.adjustment import Adjustment, adjusted_divergence
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.diagnostics import teacher_diagnostics
from asc_mrkd.mrkd.ensemble import FullyConnectedEnsemble, Scaling
from asc_mrkd.mrkd.idle import IdleWatch, warn_of_no_backup, warn_of_unknown_length
from asc_mrkd.mrkd.interval import EXPECTED, Interval
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import (
    Labels,
    Losses,
    MixedLabels,
    cross_entropy,
    is_integers,
    kind_of,
    require_class_indices,
)
from asc_mrkd.mrkd.networks import device_of, require_one_device
from asc_mrkd.mrkd.presets import PRESETS, default_preset
from asc_mrkd.mrkd.teachers import NEEDED_LENGTHS, TeachersName, build_teachers, require_fitting_options

EMA_DECAY = 0.999
"""Decay of the running average with `snapshot_source="ema"`, as in the mean teacher; at first 1 - 1 / (step + 1)."""

DIAGNOSE_EVERY = 10
"""Steps between two diagnostics of the teachers."""

DEFAULT_SHARE = 0.125
"""Interval as a share of the run: 25 of the paper's 200 epochs."""

DEFAULT_STEPS = 9775
"""Interval where the length of the run is not known: 25 epochs of CIFAR in batches of 128."""


class MemoryReplay(nn.Module):
    """The student, its backups and their ensemble; calling it gives the loss of Eq. 8, `step` rotates the backups.

    The defaults are the preset `paper`, the literal reading; with `teachers="replay"` they are the preset `robust`.
    `**asc_mrkd.mrkd.PRESETS["robust"]` takes that one, `**asc_mrkd.mrkd.VARIANTS["plain"].options` leaves parts out.
    A student may come in `DistributedDataParallel`: all processes then have the same backups and the same ensemble.

    Args:
        model: the student, from an input batch to logits (batch, class), or to an output that `logits_of` understands.
        num_classes: M.
        num_backups: n.
        interval: kappa, the time between two backups: optimiser steps as 9775, a share of the run as 0.125, or
            "25 epochs". None is 0.125 of the run, or 9775 steps, with a warning, if `total_steps` is not given.
        alpha: weight of the distillation term; 0 trains the student exactly as without MrKD.
        temperature: tau.
        teachers: source of the backups' logits; see `asc_mrkd.mrkd.teachers`. `exact` runs every backup on every batch.
            `cached`, where the input of a sample is always the same (no random augmentation) and `teacher_bn="eval"`,
            runs every backup once on every sample. `repeat`, where the batches of an interval come back in the next
            one, runs the youngest backup alone; the interval is rounded to whole epochs, `mrkd.period`, and the batches
            of an epoch have to be those of epoch % period. `replay` runs none: it replays the logits that the student
            itself gave each sample before each rotation. The last three need `num_samples` and
            `mrkd(x, y, samples=indices)`; `repeat` needs `steps_per_epoch`; Mixup goes with `exact` and `repeat` alone.
        total_steps: optimiser steps of the whole run; a share needs it. An interval that stores no backup within it is
            warned of.
        num_samples: samples of the training set, which `samples=` counts from 0.
        steps_per_epoch: optimiser steps per epoch; an interval in epochs needs it.
        ensemble: combine the backups by the fully connected network; without it, take the mean of their KL terms
            (Eq. 6).
        ensemble_layers: layers of that network; 0 averages the logits.
        ensemble_loss: loss that trains that network: the KL term (`kl`, Eq. 10), the labels (`ce`), or both (Table 4).
        adjustment: treatment of wrong teachers: `swap` (section 3.4), `revision`, `skip_wrong`, `mask`, `none`; see
            `asc_mrkd.mrkd.adjustment`.
        adjustment_gradient: `literal` trains the ensemble through the adjustment as in Eq. 10, which leaves its own
            largest class free; `detached` trains it towards the student's distribution without the adjustment.
        ensemble_input: `raw` logits, logits over the `temperature`, or `layernorm`; None is that of the preset.
        teacher_bn: batch normalisation of the backups by running statistics (`eval`) or by the `batch`; None is that of
            the preset.
        warmup: teaching before all backups are real; None is that of the preset. `untrained`: the untrained copies
            teach (literal). `ramp`: the distillation weight is alpha k / n while k of n backups are real. `skip`:
            labels only until the first one is real. In the last two, the mean logits of the real backups stand in for
            the missing ones.
        snapshot_source: the backups are copies of the weights (`raw`) or of their running average (`ema`).
        teacher_devices: devices to spread the backups over; None keeps them on the student's device.
        seed: seed of the initial weights of the ensemble.
        logits_of: function that picks the logits out of the output of the model; the default knows tensors, tuples,
            and mappings or objects with `logits` or `out`.

    A loop in which the method does nothing is warned of once: no backup can be stored, `step` is not called, or the
    optimiser does not have `mrkd.parameters()`.

    Raises:
        ConfigError: a number is out of its range, a word is not one of those above, or the interval needs a length that
            is not given.
        ModelError: a layer of the model cannot be copied, or the model lies on several devices; the layer is named.

    >>> from torch import nn
    >>> mrkd = MemoryReplay(nn.Linear(4, 3), num_classes=3, interval=2)
    >>> loss = mrkd(torch.zeros(5, 4), torch.tensor([0, 1, 2, 0, 1]))
    >>> loss.total.backward(); mrkd.step(); mrkd.backups.filled
    1
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_backups: int = 3,
        interval: int | float | str | None = None,
        alpha: float = 0.5,
        temperature: float = 3.0,
        *,
        teachers: TeachersName = "exact",
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        num_samples: int | None = None,
        ensemble: bool = True,
        ensemble_layers: int = 2,
        ensemble_loss: Literal["kl", "ce", "kl+ce"] = "kl",
        adjustment: Adjustment = "swap",
        adjustment_gradient: Literal["literal", "detached"] = "literal",
        ensemble_input: Scaling | None = None,
        teacher_bn: Literal["eval", "batch"] | None = None,
        warmup: Literal["untrained", "ramp", "skip"] | None = None,
        snapshot_source: Literal["raw", "ema"] = "raw",
        teacher_devices: Sequence[str | torch.device] | None = None,
        seed: int = 0,
        logits_of: Callable[[Any], Tensor] = logits_of,
    ) -> None:
        super().__init__()
        require_bool(ensemble, "ensemble")
        require_ranges(num_classes, num_backups, alpha, temperature, ensemble_layers)
        require_one_device(model)
        preset = PRESETS[default_preset(teachers)]
        ensemble_input = ensemble_input or preset["ensemble_input"]
        teacher_bn = teacher_bn or preset["teacher_bn"]
        warmup = warmup or preset["warmup"]
        choices = {
            "ensemble_loss": ensemble_loss,
            "adjustment": adjustment,
            "adjustment_gradient": adjustment_gradient,
            "ensemble_input": ensemble_input,
            "teacher_bn": teacher_bn,
            "warmup": warmup,
            "snapshot_source": snapshot_source,
        }
        require_known_choices(choices)
        require_fitting_options(teachers, {**choices, "teacher_devices": teacher_devices})
        require_lengths(teachers, total_steps=total_steps, steps_per_epoch=steps_per_epoch, num_samples=num_samples)
        self.model = model
        self.logits_of = logits_of
        self.num_classes = num_classes
        self.alpha = alpha
        self.temperature = temperature
        self.ensemble_loss = ensemble_loss
        self.adjustment = adjustment
        self.adjustment_gradient = adjustment_gradient
        self.warmup = warmup
        self.steps_per_epoch = steps_per_epoch
        self.num_samples = num_samples
        self.interval = _interval_in_steps(interval, total_steps, steps_per_epoch)
        """Optimiser steps between two backups."""
        self.period: int | None = None
        """Epochs after which the batches have to come back, with `teachers="repeat"`."""
        if teachers == "repeat":
            assert steps_per_epoch is not None
            self.period = max(1, round(self.interval / steps_per_epoch))
            self.interval = self.period * steps_per_epoch
        self.teachers = build_teachers(
            teachers,
            lambda: Backups(model, num_backups, teacher_bn == "batch", teacher_devices, logits_of),
            num_backups,
            num_classes,
            num_samples or 0,
            self.period or 1,
        )
        self.average = Backups(model, 1) if snapshot_source == "ema" else None
        self.ensemble: FullyConnectedEnsemble | None = None
        if ensemble:
            self.ensemble = FullyConnectedEnsemble(
                num_backups, num_classes, ensemble_layers, ensemble_input, temperature, seed
            )
            if any(parameter.dtype == torch.float64 for parameter in model.parameters()):
                self.ensemble.double()
        self.steps = 0
        """Optimiser steps taken."""
        self.to(device_of(model))
        self._average_ensemble_gradients()
        self._watch = self._start_watch(interval, total_steps)

    @property
    def backups(self) -> Backups:
        """The copies of the network.

        Raises:
            AttributeError: the teachers have none.
        """
        if self.teachers.backups is None:
            raise AttributeError("these teachers have no copies of the network")
        return self.teachers.backups

    def forward(self, x: Any, labels: Labels, samples: Tensor | None = None, **keywords: Any) -> Losses:
        """Return the loss of Eq. 8 for one batch; the teachers see the same input as the student.

        The parts are `ce`, `kd` (tau^2 KL) and, every tenth step, the figures of `teacher_diagnostics` and the age of
        each backup in steps, `teacher_age_i`. A sample without a teacher, as there may be with `teachers="replay"`,
        has its cross-entropy alone for its loss and 0 for its part of `kd`.

        Args:
            x: input of the student, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
            samples: numbers of the samples in the training set (batch,), for the teachers that need them.
            keywords: further inputs of the student, by name, as in `mrkd(x, y, mask=mask)`.

        Raises:
            ConfigError: the labels are not class indices; the teachers need `samples`, which is missing, no numbers, or
                out of range, or do not take a mixed batch; the logits are not (batch, `num_classes`); the model is on
                another device than the ensemble; `cached` or `repeat` get another input for a sample than before.
            ModelError: `logits_of` finds no logits in the output of the model.
        """
        self._require_one_device()
        require_class_indices(labels)
        weight = self.distillation_weight()
        if self.alpha and torch.is_grad_enabled():
            self._watch.forward(taught=weight > 0)
        inputs = self._numbers_of_inputs(samples, labels)
        found = None
        if weight > 0:  # before the student, whose activations stay until the backward pass
            found = self.teachers(x, self._num_teachers(), inputs, keywords)
        logits = self.logits_of(self.model(x, **keywords))
        self._require_fitting(logits)
        ce = cross_entropy(logits, labels)
        if inputs is not None and self.training and torch.is_grad_enabled():
            self.teachers.remember(inputs, logits)
        if found is None:
            return Losses(ce, logits, {"ce": ce.detach()})
        backup_logits = found.logits.to(ce.dtype)
        if found.rows is not None:
            return self._losses_of_partly_taught(backup_logits, found.rows, logits, labels, ce)
        total, kd, ensemble_logits = self._taught_loss(backup_logits, logits, labels, ce)
        parts = {"ce": ce.detach(), "kd": kd.detach()}
        if self.steps % DIAGNOSE_EVERY == 0:
            parts |= teacher_diagnostics(
                backup_logits, ensemble_logits, logits, labels, self.temperature, self.adjustment
            )
            parts |= self._backup_ages(logits.device)
        return Losses(total, logits, parts)

    def step(self) -> None:
        """Count one optimiser step; store a backup when the next step t has t mod kappa = 0 (Algorithm 1).

        Raises:
            NonFiniteError: a backup is due, and a weight is NaN or infinite; nothing is stored.
        """
        self.steps += 1
        self._watch.step()
        if self.average is not None:
            self.average.blend(self.model, min(1 - 1 / (self.steps + 1), EMA_DECAY))
        if (self.steps + 1) % self.interval == 0:
            self.teachers.push(self.model if self.average is None else self.average.youngest)

    def distillation_weight(self) -> float:
        """Return the weight of the distillation term at this step: alpha, or less while backups are missing."""
        if self.warmup == "ramp":
            return self.alpha * self.teachers.filled / len(self.teachers)
        if self.warmup != "untrained" and not self.teachers.filled:
            return 0.0
        return self.alpha

    def _average_ensemble_gradients(self) -> None:
        """Average the gradients of the ensemble over the processes; the wrapper has those of the student alone."""
        if self.ensemble is None or not isinstance(self.model, DistributedDataParallel):
            return
        for parameter in self.ensemble.parameters():
            parameter.register_hook(lambda gradient: dist.all_reduce_sum(gradient) / dist.world_size())

    def _start_watch(self, interval: int | float | str | None, total_steps: int | None) -> IdleWatch:
        """Warn if no backup can be stored, and return the watch over the loop."""
        if self.alpha and total_steps is not None:
            warn_of_no_backup(self.interval, total_steps, self.warmup == "untrained")
        elif self.alpha and interval is None:
            warn_of_unknown_length(self.interval)
        student = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        ensemble = list(self.ensemble.parameters()) if self.ensemble is not None and self.alpha else []
        return IdleWatch(student, ensemble)

    def _num_teachers(self) -> int:
        """Return the number of backups that teach: all with `untrained`, else the real ones."""
        if self.warmup == "untrained":
            return len(self.teachers)
        return self.teachers.filled

    def _numbers_of_inputs(self, samples: Tensor | None, labels: Labels) -> Tensor | None:
        """Return the numbers of the inputs, as the teachers count them; None if they do not need them.

        They are those of the samples, or with `repeat` of the samples in every epoch of the period.

        Raises:
            ConfigError: they are missing or out of range, or the batch is mixed and the teachers do not take that.
        """
        if not self.teachers.needs_samples:
            return None
        assert self.num_samples is not None
        if samples is None:
            raise ConfigError(
                "these teachers need the numbers of the samples", "mrkd(x, y, samples=indices), counted from 0"
            )
        if isinstance(labels, MixedLabels) and not self.teachers.takes_mixtures:
            raise ConfigError(
                "these teachers have the logits of other mixtures than this batch",
                "write teachers=exact, or do not mix",
            )
        shape = labels.first.shape if isinstance(labels, MixedLabels) else labels.shape
        if not is_integers(samples) or samples.shape != shape:
            raise ConfigError(
                f"samples is {kind_of(samples)}, not the number of each sample in the batch",
                f"give a tensor {tuple(shape)} of integers",
            )
        if samples.device.type == "cpu" and ((samples < 0) | (samples >= self.num_samples)).any():
            raise ConfigError(
                f"samples are numbered from {samples.min()} to {samples.max()}, with num_samples={self.num_samples}",
                "count the samples of the training set from 0",
            )
        first = 0
        if self.period is not None and self.steps_per_epoch is not None:
            first = self.num_samples * (self.steps // self.steps_per_epoch % self.period)
        return first + samples.to(device_of(self.model))

    def _require_one_device(self) -> None:
        """Refuse a model that was moved without its ensemble and its backups.

        Raises:
            ConfigError: with both devices.
        """
        device = device_of(self.model)
        if self.ensemble is not None and self.ensemble.layers and device_of(self.ensemble) != device:
            raise ConfigError(
                f"the model is on {device}, and the ensemble is on {device_of(self.ensemble)}",
                f"move both: mrkd.to('{device}')",
            )

    def _require_fitting(self, logits: Tensor) -> None:
        """Refuse in the first step what would fail when the first backup teaches, long after.

        Raises:
            ConfigError: the model has another number of classes.
        """
        if logits.dim() != 2 or logits.shape[1] != self.num_classes:
            raise ConfigError(
                f"the model gives logits of the shape {tuple(logits.shape)}, with num_classes={self.num_classes}",
                "num_classes is the number of outputs of the model, one per class: (batch, class)",
            )

    def _taught_loss(
        self, backup_logits: Tensor, logits: Tensor, labels: Labels, ce: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the loss of Eq. 8, its term tau^2 KL, and the logits of the ensemble."""
        ensemble_logits = None
        if self.ensemble is not None:
            ensemble_logits = self.ensemble(self._fill_missing(backup_logits))
        kd = self.temperature**2 * self._divergence(backup_logits, ensemble_logits, logits, labels)
        weight = self.distillation_weight()
        total = (1 - weight) * ce + weight * kd
        if ensemble_logits is not None and self.ensemble_loss != "kl":
            ensemble_ce = cross_entropy(ensemble_logits, labels)
            total = total + ensemble_ce - ensemble_ce.detach()  # the value stays that of Eq. 8
        return total, kd, ensemble_logits

    def _losses_of_partly_taught(
        self, backup_logits: Tensor, rows: Tensor, logits: Tensor, labels: Labels, ce: Tensor
    ) -> Losses:
        """Return the losses of a batch in which these rows alone have a teacher.

        The loss is the mean over the batch, so the shares of the processes of a data-parallel run add up to it.
        """
        assert isinstance(labels, Tensor)
        if not len(rows):
            total = ce
            if self.ensemble is not None:  # processes wait for each other's gradients of the ensemble: it gets zeros
                total = ce + self.ensemble(self._fill_missing(backup_logits)).sum()
            return Losses(total, logits, {"ce": ce.detach(), "kd": torch.zeros_like(ce)})
        ce_of_rows = cross_entropy(logits[rows], labels[rows])
        total, kd, _ = self._taught_loss(backup_logits, logits[rows], labels[rows], ce_of_rows)
        share = len(rows) / len(logits)
        return Losses(ce + share * (total - ce_of_rows), logits, {"ce": ce.detach(), "kd": share * kd.detach()})

    def _fill_missing(self, backup_logits: Tensor) -> Tensor:
        """Extend (backup, batch, class) to n backups by the mean of the given ones."""
        missing = len(self.teachers) - len(backup_logits)
        if not missing:
            return backup_logits
        mean = backup_logits.mean(0, keepdim=True)
        return torch.cat([backup_logits, mean.expand(missing, -1, -1)])

    def _divergence(
        self, backup_logits: Tensor, ensemble_logits: Tensor | None, logits: Tensor, labels: Labels
    ) -> Tensor:
        tau = self.temperature
        adjustment = self.adjustment
        if ensemble_logits is None:
            return torch.stack([adjusted_divergence(z, logits, labels, tau, adjustment) for z in backup_logits]).mean()
        if self.ensemble_loss == "ce":
            return adjusted_divergence(ensemble_logits.detach(), logits, labels, tau, adjustment)
        if self.adjustment_gradient == "literal":
            return adjusted_divergence(ensemble_logits, logits, labels, tau, adjustment)
        student_term = adjusted_divergence(ensemble_logits.detach(), logits, labels, tau, adjustment)
        ensemble_term = adjusted_divergence(ensemble_logits, logits.detach(), labels, tau, "none")
        return student_term + ensemble_term - ensemble_term.detach()

    def _backup_ages(self, device: torch.device) -> dict[str, Tensor]:
        """Return the steps since each real backup was taken; a backup is taken before a step t with t mod kappa = 0."""
        youngest = (self.steps + 1) % self.interval
        ages = [youngest + i * self.interval for i in range(self.teachers.filled)]
        return {f"teacher_age_{i}": torch.tensor(float(age), device=device) for i, age in enumerate(ages, start=1)}

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]
        self._watch.forget()


def require_ranges(num_classes: int, num_backups: int, alpha: float, temperature: float, ensemble_layers: int) -> None:
    """Refuse numbers that are out of their range.

    Raises:
        ConfigError: with the number and its range.
    """
    ranges = {
        "num_classes": (num_classes, num_classes >= 2, "at least 2"),
        "num_backups": (num_backups, num_backups >= 1, "at least 1"),
        "alpha": (alpha, 0 <= alpha <= 1, "0 to 1"),
        "temperature": (temperature, 0 < temperature < math.inf, "above 0 and finite"),
        "ensemble_layers": (ensemble_layers, ensemble_layers >= 0, "at least 0"),
    }
    for name, (value, is_within, expected) in ranges.items():
        if not is_within:
            raise ConfigError(f"MemoryReplay({name}={value}) is out of range", f"{name} is {expected}")


def require_lengths(teachers: str, **lengths: int | None) -> None:
    """Refuse a length of the run that is not positive, or not given where the teachers need it.

    Raises:
        ConfigError: the length is named.
    """
    for name, length in lengths.items():
        if length is not None and length < 1:
            raise ConfigError(f"MemoryReplay({name}={length}) is out of range", f"{name} is at least 1")
    for name in NEEDED_LENGTHS[teachers]:
        if lengths[name] is None:
            raise ConfigError(f"MemoryReplay(teachers='{teachers}') needs {name}=", f"give {name}, a number from 1")


def require_known_choices(choices: Mapping[str, Any]) -> None:
    """Refuse a word that the type of its argument of `MemoryReplay` does not have, such as a typing error.

    Raises:
        ConfigError: with the argument, the word and a similar one.
    """
    types = get_type_hints(MemoryReplay.__init__)
    for name, value in choices.items():
        known = _words_of(types[name])
        if value not in known:
            raise ConfigError(f"MemoryReplay({name}={value!r}): there is no such choice", suggest(str(value), known))


def _words_of(annotation: Any) -> list[str]:
    """Return the words of a Literal, which may be part of a union.

    >>> _words_of(Literal["eval", "batch"] | None)
    ['eval', 'batch']
    """
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in _words_of(part)]


def _interval_in_steps(interval: int | float | str | None, total_steps: int | None, steps_per_epoch: int | None) -> int:
    """Return the interval in optimiser steps; of None, the default.

    Raises:
        ConfigError: the interval is not valid, or a length that it needs is not given.
    """
    if interval is None:
        interval = DEFAULT_STEPS if total_steps is None else DEFAULT_SHARE
    try:
        return Interval.parse(interval).in_steps(total_steps, steps_per_epoch)
    except ValueError as error:
        raise ConfigError(f"MemoryReplay(interval={interval!r}): {error}", EXPECTED) from None
