"""One seed of an experiment: what is trained, one step, one epoch, and its state."""

import time
from collections.abc import Callable
from typing import Any

import torch

from asc_mrkd.config import Experiment, OptimizerConfig
from asc_mrkd.data.batches import training_batch
from asc_mrkd.data.epoch import BatchKey, Epoch
from asc_mrkd.data.samples import Samples
from asc_mrkd.draws import generator
from asc_mrkd.engine.device import has_fast_bfloat16
from asc_mrkd.engine.guard import require_finite
from asc_mrkd.engine.schedule import lr_factor
from asc_mrkd.methods import Method, Run, build_method
from asc_mrkd.models import build_model
from asc_mrkd.mrkd.backups import unwrap
from asc_mrkd.mrkd.labels import MixedLabels
from asc_mrkd.mrkd.losses import Losses

GUARD_EVERY = 50
"""Steps between two looks at the loss on a GPU, where each look waits for the device; on a CPU it is every step."""


class Trainer:
    """The student, the method around it, the optimiser, and how far they are.

    Attributes:
        epoch: finished epochs.
        batch: finished batches of the epoch under way.
    """

    def __init__(self, experiment: Experiment, seed: int, train: Samples, num_classes: int) -> None:
        self.config, self.augment, self.seed, self.samples = experiment.train, experiment.augment, seed, train
        self.device = train.labels.device
        self.architecture = {
            "name": experiment.model.name,
            "num_classes": num_classes,
            "options": experiment.model.options,
        }
        precision = self.config.precision
        self.bfloat16 = has_fast_bfloat16(self.device) if precision == "auto" else precision == "bfloat16"
        channels_last = self.bfloat16 if self.config.channels_last == "auto" else self.config.channels_last
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        torch.manual_seed(seed)
        model = build_model(experiment.model.name, num_classes, **experiment.model.options).to(self.device)
        if self.config.compile:  # the last, shorter batch gets code of its own
            model = torch.compile(model, dynamic=False)  # type: ignore[assignment]
        self.steps_per_epoch = -(-len(train) // self.config.batch_size)
        steps = self.config.epochs * self.steps_per_epoch
        run = Run(num_classes, steps, self.steps_per_epoch, len(train), tuple(train.read(slice(0, 1)).shape[1:]), seed)
        self.method = build_method(experiment.method, model, run)
        self.method.to(self.device, memory_format=self.memory_format)
        self.optimizer = build_optimizer(self.config.optimizer, self.method)
        self.epoch, self.batch = 0, 0
        self.sums: dict[str, torch.Tensor] = {}

    @property
    def student(self) -> torch.nn.Module:
        """The network alone, without wrappers."""
        return unwrap(self.method.model)

    def train_epoch(self, on_step: Callable[[], None], should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Train to the end of the epoch and return its averages, or None when stopped after some batch."""
        self.method.train()
        start, first = time.perf_counter(), self.batch
        keys = Epoch(self.seed, self.epoch, len(self.samples), self.device).batches(self.config.batch_size)
        for key in keys[first:]:
            self._train_step(key)
            self.batch += 1
            on_step()
            if should_stop() and self.batch < len(keys):
                return None
        seconds = time.perf_counter() - start
        trained = sum(len(key.positions) for key in keys[first:])
        averages = {name: (value / len(self.samples)).item() for name, value in self.sums.items()}
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}
        return {
            "epoch": self.epoch,
            "epochs": self.config.epochs,
            "step": self.epoch * self.steps_per_epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            **averages,
            "seconds": round(seconds, 3),
            "samples_per_second": round(trained / seconds, 2),
        }

    def _train_step(self, key: BatchKey) -> None:
        step = self.epoch * self.steps_per_epoch + self.batch
        factor = lr_factor(self.config.schedule, step, self.steps_per_epoch, self.config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * factor
        torch.manual_seed(int(generator("torch", self.seed, step).integers(2**63)))  # for dropout inside a network
        x, labels = training_batch(self.samples, key, self.augment)
        x = x.contiguous(memory_format=self.memory_format)
        needed = {"index": key.index} if "index" in self.method.needs else {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self.method(x, labels, **needed)
        if self.device.type == "cpu" or step % GUARD_EVERY == 0 or self.batch + 1 == self.steps_per_epoch:
            require_finite(losses, x, self.student, f"seed {self.seed}, epoch {self.epoch + 1}, step {step + 1}")
        self.optimizer.zero_grad()
        losses.total.backward()
        self.optimizer.step()
        self.method.step()
        truth = labels.first if isinstance(labels, MixedLabels) else labels
        self._add(losses, truth)

    @torch.no_grad()
    def _add(self, losses: Losses, truth: torch.Tensor) -> None:
        """Add a batch to the averages of the epoch; they stay on the device."""
        values = {"loss": losses.total, **losses.parts} | {
            "train_accuracy": (losses.logits.argmax(1) == truth).float().mean()
        }
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=self.device)) + value.detach() * len(truth)

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
        self.sums = {name: value.to(self.device) for name, value in state["sums"].items()}


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
