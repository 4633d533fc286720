"""One seed of an experiment: what is trained, one step, one epoch, and its state."""

import copy
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.config import Experiment, OptimizerConfig, PruneConfig, ScheduleConfig
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.device import has_fast_bfloat16, seed_generator
from asc_mrkd.dist import all_reduce_sum, is_parallel, local_rows, rank
from asc_mrkd.engine.data.batches import Batch, training_batch
from asc_mrkd.engine.data.keys import BatchKey, Epoch
from asc_mrkd.engine.data.responses import with_responses
from asc_mrkd.engine.data.samples import Samples
from asc_mrkd.engine.loop.not_finite import LOWER_RATE, are_finite, faulty_samples, find_culprit
from asc_mrkd.engine.loop.parallel import average_statistics, is_any, running_statistics, share_of_loss, wrap_ddp
from asc_mrkd.engine.teachers import load_teacher
from asc_mrkd.errors import NonFiniteError
from asc_mrkd.methods import Method, TrainingContext, build_method
from asc_mrkd.methods.base import require_losses, scalars_of
from asc_mrkd.models import build_network
from asc_mrkd.models.pruning import amount_to_keep, attach_masks, ramp_factor, set_masks
from asc_mrkd.mrkd.losses import Losses, MixedLabels, weighted_classes
from asc_mrkd.mrkd.networks import unwrap
from asc_mrkd.mrkd.teachers import constant_weights
from asc_mrkd.rng import generator, torch_seeded

LOOK_EVERY = 50
"""Steps after which training checks whether all of them were finite; only then does it wait for a GPU."""

SKIPPED_IN_A_ROW = 3
"""Largest number of steps in a row that are skipped because they are not finite; the next one stops the training."""


def lr_factor(schedule: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the factor on the learning rate at a step counted from 0.

    Linear decay to zero, per step: 1 at step 0, 1/T at step T - 1.

    >>> [lr_factor(ScheduleConfig(), step, 391, 200) for step in (0, 39_100)]
    [1.0, 0.5]
    >>> cpjku = ScheduleConfig(hold=50, decay=200, floor=0.01, per="epoch")
    >>> [round(lr_factor(cpjku, 613 * epoch, 613, 400), 6) for epoch in (49, 51, 150, 249, 250)]
    [1.0, 0.995, 0.5, 0.005, 0.01]
    """
    epoch = step / steps_per_epoch
    if schedule.per == "epoch":
        epoch = math.floor(epoch)
    decay = schedule.decay or max(epochs - schedule.hold, 1)
    if epoch < schedule.hold:
        return 1.0
    if epoch < schedule.hold + decay:
        return 1.0 - (epoch - schedule.hold) / decay
    return schedule.floor


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return weights (class,) that make every class count alike; their mean over the samples is 1.

    So does scikit-learn's compute_class_weight. A class without samples has the weight 0.

    >>> balanced_weights(torch.tensor([0, 0, 0, 2]), 3).tolist()
    [0.6666666865348816, 0.0, 2.0]
    """
    counts = torch.bincount(labels, minlength=num_classes).float()
    present = counts > 0
    return torch.where(present, len(labels) / (present.sum() * counts.clamp(min=1)), 0.0)


@dataclass(frozen=True)
class _Step:
    """A batch, its losses and its gradients, before the optimiser step."""

    number: int
    """Number of the step in the run, from 1."""
    key: BatchKey
    batch: Batch
    losses: Losses
    is_finite: Tensor
    """Whether the loss and the gradients are finite, as a scalar on the device; a huge gradient may count as not."""


class Trainer:
    """One seed in training: the student, the method around it, the optimiser, and their progress.

    Args:
        experiment: experiment whose method has all options.
        seed: seed of the run.
        samples: training set.
        num_classes: classes.
    """

    def __init__(self, experiment: Experiment, seed: int, samples: Samples, num_classes: int) -> None:
        self.config = experiment.train
        self.augment = experiment.augment
        self.seed = seed
        self.samples = with_responses(samples, experiment.augment)
        self.training_shape = experiment.training_shape(tuple(samples.gather(slice(0, 1)).shape[1:]))
        """Shape of one input of the student in training: (channel, mel, frame), cut if the augmentation cuts."""
        self.device = samples.labels.device
        self.experiment = experiment
        self.num_classes = num_classes
        self.class_weights: Tensor | None = None
        """Weights of the classes in the cross-entropy (class,)."""
        if self.config.class_weights == "balanced":
            self.class_weights = balanced_weights(samples.labels, num_classes)
        self.bfloat16 = self._use_bfloat16()
        self.memory_format = self._choose_memory_format()
        self.steps_per_epoch = math.ceil(len(samples) / self.config.batch_size)
        network = self._new_model(seed)
        if self.config.start is not None:
            network.load_state_dict(load_model(self.config.start).model.state_dict())
        model = self._compile(network)
        self.method = build_method(experiment.method, model, self._context())
        self.method.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        self.losses_of = wrap_ddp(self.method)
        self.optimizer = build_optimizer(self.config.optimizer, self.method)
        self.epochs = self.config.epochs * self.method.generations
        """Epochs over all generations of the method."""
        self.epoch = 0
        """Finished epochs."""
        self.batch = 0
        """Finished batches of the current epoch."""
        self.sums: dict[str, tuple[Tensor, Tensor]] = {}
        """Sum over the samples of each figure of the current epoch, and the number of samples."""
        self.skipped = 0
        """Steps of the current epoch that were skipped because they were not finite."""
        self.skipped_in_a_row = 0
        """Steps that were skipped since the last finite one."""
        self.fault = ""
        """Description of the first of these."""
        self.note = ""
        """Loss as the progress shows it."""

    @property
    def student(self) -> nn.Module:
        """The network alone, without wrappers."""
        return unwrap(self.method.model)

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def total_steps(self) -> int:
        """Steps over all epochs."""
        return self.epochs * self.steps_per_epoch

    @torch.enable_grad()  # the caller may have switched gradients off, as notebooks do
    def train_epoch(self, advance: Callable[..., None], should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Train to the end of the epoch.

        Args:
            advance: called after every step with 1 and a note that says the loss.
            should_stop: asked after every step.

        Returns:
            The averages of the epoch for the log; None if the training was stopped within it.

        Raises:
            NonFiniteError: more than SKIPPED_IN_A_ROW steps in a row were not finite.
        """
        self.method.train()
        start = time.perf_counter()
        first = self.batch
        if not first and self.config.prune:
            self.method.start_due_generation()
            self._prune(self.config.prune)
        keys = self._keys(self.epoch)
        while self.batch < len(keys):
            stopped = self._train_block(keys, advance, should_stop)
            if stopped and self.batch < len(keys):
                return None
        trained = sum(len(key.positions) for key in keys[first:])
        record = self._finish_epoch(time.perf_counter() - start, trained)
        if self.epoch % self.config.epochs == 0 and self.epoch < self.epochs:  # a generation starts without momentum
            self.optimizer = build_optimizer(self.config.optimizer, self.method)
        return record

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continuing needs; draws are functions of their keys, so no random state is kept."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": self.sums,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "method": dict(self.method.state_dict()),
            "optimizer": self.optimizer.state_dict(),
        }

    def _copied_state(self) -> dict[str, Any]:
        """Return a state that further steps do not change, as if `state_dict` were copied whole."""
        shared = {weight.data_ptr() for weight in constant_weights(self.method)}
        return copy_state(self.state_dict(), shared)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError: the state is of another place than this training has.
        """
        epoch = state["epoch"]
        batch = state["batch"]
        if not 0 <= epoch * self.steps_per_epoch + batch <= self.total_steps or not 0 <= batch < self.steps_per_epoch:
            raise ValueError(f"epoch {epoch}, batch {batch} is not in {self.epochs} epochs of {self.steps_per_epoch}")
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = epoch
        self.batch = batch
        self.skipped = state["skipped"]
        self.skipped_in_a_row = state["skipped_in_a_row"]
        self.sums = {name: tuple(value.to(self.device) for value in pair) for name, pair in state["sums"].items()}

    def _use_bfloat16(self) -> bool:
        if self.config.precision == "auto":
            return has_fast_bfloat16(self.device)
        return self.config.precision == "bfloat16"

    def _choose_memory_format(self) -> torch.memory_format:
        channels_last = self.config.channels_last
        if channels_last == "auto":
            channels_last = self.bfloat16
        return torch.channels_last if channels_last else torch.contiguous_format

    def _new_model(self, seed: int) -> nn.Module:
        """Build the network with the initial weights of a seed.

        Raises:
            ConfigError: it is in a file of the user that was edited since the training began.
        """
        self.experiment.with_code()
        config = self.experiment.model
        with torch_seeded(seed):
            model = build_network(config.name, self.num_classes, **config.options).to(self.device)
        if self.config.prune:
            attach_masks(model, self.config.prune.kernels)
        return model

    def _compile(self, model: nn.Module) -> nn.Module:
        if not self.config.compile:
            return model
        # Early classifiers hang on hooks; without this, a program compiled for another method would be reused.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        # The last, shorter batch gets its own code.
        return torch.compile(model, dynamic=False)  # type: ignore[return-value]

    def _context(self) -> TrainingContext:
        return TrainingContext(
            num_classes=self.num_classes,
            input_shape=self.training_shape,
            train_samples=len(self.samples),
            epochs=self.config.epochs,
            steps_per_epoch=self.steps_per_epoch,
            seed=self.seed,
            new_model=self._new_model,
            load_teacher=partial(
                load_teacher, samples=self.samples, num_classes=self.num_classes, memory_format=self.memory_format
            ),
        )

    def _prune(self, config: PruneConfig) -> None:
        amount = config.amount or 0.0
        if config.keep:
            amount = amount_to_keep(self.student, config.keep, config.kernels)
        factor = ramp_factor(self.epoch % self.config.epochs, config.ramp, config.ramp_epochs)
        set_masks(self.student, factor * amount, config.scope)

    def _keys(self, epoch: int) -> list[BatchKey]:
        """Return the batches of an epoch, or those of an earlier one, if the method lets them come back."""
        if self.method.period is not None:
            epoch %= self.method.period
        return Epoch(self.seed, epoch, len(self.samples), self.device).batches(self.config.batch_size)

    def _previous_key(self, keys: list[BatchKey]) -> BatchKey | None:
        """Return the key of the batch before the next one; None at the start of the run."""
        if self.batch:
            return keys[self.batch - 1]
        if self.epoch:
            return self._keys(self.epoch - 1)[-1]
        return None

    def _train_block(self, keys: list[BatchKey], advance: Callable[..., None], should_stop: Callable[[], bool]) -> bool:
        """Train at most LOOK_EVERY steps of the epoch and return whether the training was stopped.

        If one of them was not finite, all are undone and repeated one by one. So a GPU is not waited for in every step,
        and an undone step leaves no trace, neither in running statistics nor in what a method keeps.
        """
        before = self._copied_state()
        previous = self._previous_key(keys)
        finite = torch.tensor(True, device=self.device)
        stopped = False
        for key in keys[self.batch : self.batch + LOOK_EVERY]:
            step = self._compute(key, previous)
            finite = finite & step.is_finite
            try:
                self._apply(step)
            except NonFiniteError:  # of a method that refuses to keep such weights
                finite = torch.tensor(False, device=self.device)
                self.batch += 1
            previous = key
            if self.device.type == "cpu":
                self._note_loss()
            advance(1, self.note)
            stopped = should_stop()
            if stopped or (self.device.type == "cpu" and not is_parallel() and not finite):
                break
        if not is_any(not (finite & self._has_finite_weights()).item()):
            self.skipped_in_a_row = 0
            self._note_loss()
            return stopped
        reached = self.batch
        self.load_state_dict(before)
        while self.batch < reached:
            self._train_or_skip(keys)
        return stopped

    def _note_loss(self) -> None:
        """Note the mean loss of the epoch so far for the progress; this waits for the device."""
        if "loss" not in self.sums:  # all steps of the epoch were skipped
            return
        total, samples = self.sums["loss"]
        self.note = f"loss {(total / samples).item():.4g}"

    def _train_or_skip(self, keys: list[BatchKey]) -> None:
        """Train one step; if it is not finite, undo it and leave it out.

        Raises:
            NonFiniteError: SKIPPED_IN_A_ROW steps before it were left out too.
        """
        before = self._copied_state()
        step = self._compute(keys[self.batch], self._previous_key(keys))
        if self._apply_if_finite(step):
            self.skipped_in_a_row = 0
            return
        fault = self._describe_fault(step)
        self.load_state_dict(before)
        if not self.skipped_in_a_row:
            self.fault = fault
        if self.skipped_in_a_row == SKIPPED_IN_A_ROW:
            raise NonFiniteError(
                f"{self.fault or fault}; the {SKIPPED_IN_A_ROW} steps after it were no better", self._hint(step)
            )
        self.skipped += 1
        self.skipped_in_a_row += 1
        self.method.step()
        self.batch += 1

    def _apply_if_finite(self, step: _Step) -> bool:
        """Apply a step if its loss and gradients are finite; return whether the weights are finite then.

        Finite gradients may give infinite weights, by a learning rate that is too high. All processes do the same.
        """
        if is_any(not are_finite([step.losses.total, *self._gradients()])):
            return False
        try:
            self._apply(step)
            is_finite = are_finite(self._weights())
        except NonFiniteError:  # of a method that refuses to keep such weights
            is_finite = False
        return not is_any(not is_finite)

    def _compute(self, key: BatchKey, previous: BatchKey | None) -> _Step:
        """Compute losses and gradients of a batch."""
        step = self.step
        self._set_learning_rate(step)
        # Dropout inside a network draws from torch's generator; each process drops other units.
        seed_generator(int(generator("torch", self.seed, step).integers(2**63)) + rank(), self.device)
        batch = training_batch(
            self.samples, key, self.augment, self.method.needs, previous, local_rows(), self.memory_format
        )
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
        with autocast, weighted_classes(self.class_weights):
            losses = self.losses_of(batch.x, batch.labels, **batch.needed)
        require_losses(losses, len(batch.x))
        losses = replace(losses, parts=scalars_of(losses.parts, self.device))
        self.optimizer.zero_grad()
        (losses.total * share_of_loss(len(batch.x), len(key.positions))).backward()
        largest = nn.utils.get_total_norm(self._gradients())
        return _Step(step + 1, key, batch, losses, torch.isfinite(losses.total.detach()) & torch.isfinite(largest))

    def _apply(self, step: _Step) -> None:
        """Take the optimiser step and count the batch."""
        self.optimizer.step()
        average_statistics(self.method)
        self.method.step()
        labels = step.batch.labels
        truth = labels.first if isinstance(labels, MixedLabels) else labels
        self._add_to_averages(step.losses, truth)
        self.batch += 1

    def _gradients(self) -> list[Tensor]:
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return [parameter.grad for parameter in parameters if parameter.grad is not None]

    def _weights(self) -> list[Tensor]:
        """Return the parameters of the method and the running statistics of its batch normalisation."""
        return [*self.method.parameters(), *running_statistics(self.method)]

    def _has_finite_weights(self) -> Tensor:
        return torch.isfinite(nn.utils.get_total_norm([tensor.detach() for tensor in self._weights()]))

    def _describe_fault(self, step: _Step) -> str:
        """Return place, loss, rate, culprit and samples of a step that is not finite."""
        losses = step.losses
        parts = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.parts.items())
        names = self.samples.table["filename"].iloc[step.key.positions[local_rows()]].tolist()
        return (
            f"seed {self.seed}, epoch {self.epoch + 1}, step {step.number}: "
            f"the loss is {losses.total.item():.4g} ({parts}) "
            f"at the learning rate {self.optimizer.param_groups[0]['lr']:.3g}; "
            f"{find_culprit(self.method, step.batch.x)}; "
            f"samples: {faulty_samples(names, step.batch.x, losses.logits.detach())}"
        )

    def _hint(self, step: _Step) -> str:
        if not are_finite([step.batch.x]):
            return "asc-mrkd check-data STORE finds the damage; the last checkpoint is as it was"
        if self.bfloat16:
            return f"{LOWER_RATE}; or train.precision=float32"
        return LOWER_RATE

    def _set_learning_rate(self, step: int) -> None:
        step_of_generation = step % (self.config.epochs * self.steps_per_epoch)
        factor = lr_factor(self.config.schedule, step_of_generation, self.steps_per_epoch, self.config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * factor

    @torch.no_grad()
    def _add_to_averages(self, losses: Losses, truth: Tensor) -> None:
        """Add a batch to the averages of the epoch, weighted by its samples; they stay on the device.

        A figure that only some steps have is averaged over those.
        """
        values = {"loss": losses.total, **losses.parts}
        values["train_accuracy"] = (losses.logits.argmax(1) == truth).float().mean()
        weighted = torch.stack([torch.ones_like(values["loss"]), *(value.detach() for value in values.values())])
        count, *sums = all_reduce_sum(weighted * len(truth))
        for name, value in zip(values, sums, strict=True):
            total, samples = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = (total + value, samples + count)

    def _finish_epoch(self, seconds: float, trained: int) -> dict[str, Any]:
        """Count the epoch and return its record for the log; `trained` samples took these seconds."""
        averages = {name: (value / count).item() for name, (value, count) in self.sums.items()}
        averages = {name: value for name, value in averages.items() if math.isfinite(value)}
        if self.skipped:
            averages["skipped_steps"] = self.skipped
        self.epoch += 1
        self.batch = 0
        self.sums = {}
        self.skipped = 0
        return {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "step": self.step,
            "lr": self.optimizer.param_groups[0]["lr"],
            **averages,
            "seconds": round(seconds, 3),
            "samples_per_second": round(trained / seconds, 2),
        }


def copy_state(state: Any, shared: Collection[int] = ()) -> Any:
    """Return a copy of a state, nested as it is; `copy.deepcopy` takes nine times as long for many small tensors.

    Args:
        state: tensors and values in mappings, lists and tuples.
        shared: addresses of tensors that are never written to, and are not copied.

    >>> state = {"step": 1, "weights": [torch.zeros(2)]}
    >>> kept = copy_state(state)
    >>> state["weights"][0] += 1
    >>> kept
    {'step': 1, 'weights': [tensor([0., 0.])]}
    """
    if isinstance(state, Tensor):
        return state if state.data_ptr() in shared else state.detach().clone()
    if isinstance(state, Mapping):
        return {name: copy_state(value, shared) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copy_state(value, shared) for value in state)
    return copy.deepcopy(state)


def build_optimizer(config: OptimizerConfig, method: Method) -> torch.optim.Optimizer:
    """Build SGD or Adam over two groups: the student, and everything else that the method trains.

    A fused step needs gradients for all or none of a group, and an ensemble has none before its first teacher.
    """
    student = list(method.model.parameters())
    in_student = set(student)
    others = [parameter for parameter in method.parameters() if parameter not in in_student]
    groups = [{"params": group} for group in (student, others) if group]
    if config.name == "adam":
        return torch.optim.Adam(groups, config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        groups, config.lr, config.momentum, nesterov=config.nesterov, weight_decay=config.weight_decay, fused=True
    )
