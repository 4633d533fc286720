"""One seed of an experiment: what is trained, one step, one epoch, and its state."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.config import Experiment, OptimizerConfig, PruneConfig, ScheduleConfig
from asc_mrkd.dist import all_reduce_sum, local_rows, rank
from asc_mrkd.engine.batches import training_batch
from asc_mrkd.engine.device import has_fast_bfloat16
from asc_mrkd.engine.keys import BatchKey, Epoch
from asc_mrkd.engine.parallel import average_statistics, share_of_loss, wrapped
from asc_mrkd.engine.samples import Samples
from asc_mrkd.errors import NonFiniteError
from asc_mrkd.methods import Method, TrainingContext, build_method
from asc_mrkd.models import build_model
from asc_mrkd.models.pruning import amount_to_keep, attach_masks, ramp_factor, set_masks
from asc_mrkd.mrkd.backups import unwrap
from asc_mrkd.mrkd.losses import Losses, MixedLabels
from asc_mrkd.rng import generator


def require_finite(losses: Losses, x: Tensor, model: nn.Module, where: str) -> None:
    """Raise when the loss is not finite, naming the place: the inputs, a weight, or the arithmetic.

    Raises:
        NonFiniteError: with the parts of the loss and the first tensor that is not finite.
    """
    if torch.isfinite(losses.total):
        return
    parts = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.parts.items())
    raise NonFiniteError(
        f"{where}: the loss is {losses.total.item()} ({parts}); {_culprit(x, model)}",
        "the last checkpoint is whole; try a lower train.optimizer.lr or train.precision=float32",
    )


def _culprit(x: Tensor, model: nn.Module) -> str:
    if not torch.isfinite(x).all():
        return "the inputs hold values that are not finite"
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return f"'{name}' holds values that are not finite"
    return "inputs and weights are finite, the arithmetic overflows"


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


GUARD_EVERY = 50
"""Steps between two looks at the loss on a GPU, where each look waits for the device; on a CPU it is every step."""


class Trainer:
    """The student, the method around it, the optimiser, and how far they are.

    Attributes:
        epochs: in all, over the generations of the method.
        epoch: finished epochs.
        batch: finished batches of the epoch under way.
    """

    def __init__(self, experiment: Experiment, seed: int, train: Samples, num_classes: int) -> None:
        self.config, self.augment, self.seed, self.samples = experiment.train, experiment.augment, seed, train
        self.device = train.labels.device
        self.architecture: dict[str, Any] = {
            "name": experiment.model.name,
            "num_classes": num_classes,
            "options": experiment.model.options,
        }
        precision = self.config.precision
        self.bfloat16 = has_fast_bfloat16(self.device) if precision == "auto" else precision == "bfloat16"
        channels_last = self.bfloat16 if self.config.channels_last == "auto" else self.config.channels_last
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        model = self._new_model(seed)
        if self.config.compile:
            # Early classifiers hang on hooks, which a program compiled for another method would not know of.
            torch._dynamo.config.skip_nnmodule_hook_guards = False
            # The last, shorter batch gets code of its own.
            model = torch.compile(model, dynamic=False)  # type: ignore[assignment]
        self.steps_per_epoch = math.ceil(len(train) / self.config.batch_size)
        self.method = build_method(experiment.method, model, self._context(num_classes))
        self.epochs = self.config.epochs * self.method.generations
        self.method.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        self.losses_of = wrapped(self.method)
        self.optimizer = build_optimizer(self.config.optimizer, self.method)
        self.epoch, self.batch = 0, 0
        self.sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def _new_model(self, seed: int) -> nn.Module:
        """Build the network with the initial weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            name, num_classes, options = (self.architecture[key] for key in ("name", "num_classes", "options"))
            model = build_model(name, num_classes, **options).to(self.device)
        if self.config.prune:
            attach_masks(model, self.config.prune.kernels)
        return model

    def _context(self, num_classes: int) -> TrainingContext:
        return TrainingContext(
            num_classes=num_classes,
            input_shape=tuple(self.samples.read(slice(0, 1)).shape[1:]),
            train_samples=len(self.samples),
            epochs=self.config.epochs,
            steps_per_epoch=self.steps_per_epoch,
            seed=self.seed,
            new_model=self._new_model,
        )

    @property
    def student(self) -> nn.Module:
        """The network alone, without wrappers."""
        return unwrap(self.method.model)

    def train_epoch(self, on_step: Callable[[], None], should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Train to the end of the epoch and return its averages, or None when stopped after some batch."""
        self.method.train()
        start, first = time.perf_counter(), self.batch
        if self.config.prune and not first:
            self._prune(self.config.prune)
        keys = self._keys(self.epoch)
        before = keys[first - 1] if first else self._keys(self.epoch - 1)[-1] if self.epoch else None
        for key in keys[first:]:
            self._train_step(key, before)
            before = key
            self.batch += 1
            on_step()
            if should_stop() and self.batch < len(keys):
                return None
        seconds = time.perf_counter() - start
        trained = sum(len(key.positions) for key in keys[first:])
        averages = {name: (value / count).item() for name, (value, count) in self.sums.items()}
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}
        record = {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "step": self.epoch * self.steps_per_epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            **averages,
            "seconds": round(seconds, 3),
            "samples_per_second": round(trained / seconds, 2),
        }
        if self.epoch % self.config.epochs == 0 and self.epoch < self.epochs:  # a generation starts without momentum
            self.optimizer = build_optimizer(self.config.optimizer, self.method)
        return record

    def _prune(self, config: PruneConfig) -> None:
        amount = amount_to_keep(self.student, config.keep, config.kernels) if config.keep else config.amount or 0.0
        factor = ramp_factor(self.epoch % self.config.epochs, config.ramp, config.ramp_epochs)
        set_masks(self.student, factor * amount, config.scope)

    def _keys(self, epoch: int) -> list[BatchKey]:
        return Epoch(self.seed, epoch, len(self.samples), self.device).batches(self.config.batch_size)

    def _train_step(self, key: BatchKey, before: BatchKey | None) -> None:
        step = self.epoch * self.steps_per_epoch + self.batch
        in_generation = step % (self.config.epochs * self.steps_per_epoch)
        factor = lr_factor(self.config.schedule, in_generation, self.steps_per_epoch, self.config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * factor
        # For dropout inside a network; the units that a process drops are its own.
        torch.manual_seed(int(generator("torch", self.seed, step).integers(2**63)) + rank())
        needs, share = self.method.needs, local_rows()
        batch = training_batch(self.samples, key, self.augment, needs, before, share, self.memory_format)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self.losses_of(batch.x, batch.labels, **batch.needed)
        if self.device.type == "cpu" or step % GUARD_EVERY == 0 or self.batch + 1 == self.steps_per_epoch:
            require_finite(losses, batch.x, self.student, f"seed {self.seed}, epoch {self.epoch + 1}, step {step + 1}")
        self.optimizer.zero_grad()
        (losses.total * share_of_loss(len(batch.x), len(key.positions))).backward()
        self.optimizer.step()
        average_statistics(self.method)
        self.method.step()
        truth = batch.labels.first if isinstance(batch.labels, MixedLabels) else batch.labels
        self._add(losses, truth)

    @torch.no_grad()
    def _add(self, losses: Losses, truth: torch.Tensor) -> None:
        """Add a batch to the averages of the epoch, weighted by its samples; they stay on the device.

        A figure that only some steps have is averaged over those.
        """
        values = {"loss": losses.total, **losses.parts} | {
            "train_accuracy": (losses.logits.argmax(1) == truth).float().mean()
        }
        weighted = torch.stack([torch.ones_like(values["loss"]), *(value.detach() for value in values.values())])
        count, *sums = all_reduce_sum(weighted * len(truth))
        for name, value in zip(values, sums, strict=True):
            before, samples = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = (before + value, samples + count)

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on; no random state is among it, because none is kept."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": self.sums,
            "method": dict(self.method.state_dict()),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.sums = {name: tuple(value.to(self.device) for value in pair) for name, pair in state["sums"].items()}


def build_optimizer(config: OptimizerConfig, method: Method) -> torch.optim.Optimizer:
    """Build SGD or Adam over the student and over what the method trains beside it, each in a group of its own.

    A fused step needs gradients for all or none of a group, and an ensemble has none before its first teacher.
    """
    student = list(method.model.parameters())
    known = set(student)
    beside = [parameter for parameter in method.parameters() if parameter not in known]
    groups = [{"params": group} for group in (student, beside) if group]
    if config.name == "adam":
        return torch.optim.Adam(groups, config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        groups, config.lr, config.momentum, nesterov=config.nesterov, weight_decay=config.weight_decay, fused=True
    )
