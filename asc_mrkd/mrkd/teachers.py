"""The teachers of a step: one object per way to the logits of the backups, behind one interface.

- `exact`: every backup runs on every batch, as in the paper.
- `cached`: every backup runs once on every sample, where the input of a sample is always the same.
- `repeat`: the youngest backup runs on every batch, where the batches of an interval come back in the next one.
- `replay`: the logits that the student itself gave its samples before each rotation; no network is copied or run.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from asc_mrkd.dist import all_gather_rows
from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.losses import at_least_float32

TeachersName = Literal["exact", "cached", "repeat", "replay"]
"""Ways to the logits of the backups."""

FITTING: dict[str, dict[str, Sequence[Any]]] = {
    "exact": {},
    "cached": {"teacher_bn": ["eval"]},
    "repeat": {},
    "replay": {
        "teacher_bn": ["batch"],
        "warmup": ["ramp", "skip"],
        "snapshot_source": ["raw"],
        "teacher_devices": [None],
    },
}
"""Values that each way allows for other options of `MemoryReplay`."""

REASONS = {
    "cached": "normalised by the batch, the logits of a sample depend on the other samples in it, which change",
    "replay": "the student's logits of its training steps are replayed, which no backup computes",
}
"""Reason why a way allows no other values."""

NEEDED_LENGTHS: dict[str, Sequence[str]] = {
    "exact": (),
    "cached": ("num_samples",),
    "repeat": ("num_samples", "steps_per_epoch"),
    "replay": ("num_samples",),
}
"""Lengths of the run that each way has to know, as arguments of `MemoryReplay`."""

MARKED_VALUES = 64
"""Values of an input that its mark depends on."""

MARK_TOLERANCE = 1e-4
"""Largest difference between marks of the same input; they are between -2 and 2."""


@dataclass(frozen=True)
class TeacherLogits:
    """Logits of the backups for a batch."""

    logits: Tensor
    """Logits (backup, row, class), the youngest backup first; without gradients."""
    rows: Tensor | None = None
    """Rows of the batch that they belong to (row,); None stands for all of them in their order."""


class Teachers(nn.Module):
    """Source of the logits of n backups.

    Calling it with a batch gives `TeacherLogits`:

    - `x`: input of the student, batch first;
    - `count`: number of backups, the youngest ones;
    - `inputs`: numbers of the inputs (batch,), for those with `needs_samples`: of the samples in the training set, or,
      where a sample comes in several forms, of these;
    - `keywords`: further inputs of the student, by name.
    """

    needs_samples = True
    """Whether it has to know the numbers of the samples."""

    takes_mixtures = True
    """Whether the batch may be mixed."""

    backups: Backups | None
    """The copies of the network; None if there are none."""

    def __init__(self, num_backups: int) -> None:
        super().__init__()
        self.num_backups = num_backups

    def __len__(self) -> int:
        """Return n."""
        return self.num_backups

    @property
    def filled(self) -> int:
        """Number of real backups: those that were pushed."""
        raise NotImplementedError

    def push(self, model: nn.Module) -> None:
        """Drop the oldest backup and take the student as it is now for the youngest."""
        raise NotImplementedError

    def remember(self, inputs: Tensor, logits: Tensor) -> None:
        """Take note of the student's logits (batch, class) of these inputs in a training step."""


class ExactTeachers(Teachers):
    """Run every backup on every batch.

    Args:
        backups: the copies of the network.
    """

    needs_samples = False
    backups: Backups

    def __init__(self, backups: Backups) -> None:
        super().__init__(len(backups))
        self.backups = backups

    @property
    def filled(self) -> int:
        """Number of real backups: those that were pushed."""
        return self.backups.filled

    def push(self, model: nn.Module) -> None:
        """Drop the oldest backup and store the network as it is now."""
        self.backups.push(model)

    def forward(self, x: Any, count: int, inputs: Tensor | None, keywords: Mapping[str, Any]) -> TeacherLogits:
        """Return the logits of the `count` youngest backups for the whole batch."""
        return TeacherLogits(self.backups(x, count, **keywords))


class CachedTeachers(Teachers):
    """Run a backup on an input that it has not met, and keep its logits for the next time.

    Backups have numbers: 0 is the untrained network, 1 the first one that was pushed. A cell holds the logits of one
    backup per input, with its number. So a push moves nothing.

    Where whole batches come back, each after the next push, the youngest backup has to run on every batch. Its logits
    replace those of the oldest one, which are needed for the last time: n - 1 cells are enough. Otherwise there are n,
    and the untrained copies, which normalise by the batch, run on every batch.

    A mark of every input is kept too, by which one that has changed is refused.

    In a data-parallel run every process keeps the logits of all.

    Args:
        backups: the copies of the network.
        num_inputs: number of different inputs.
        num_classes: M.
        whole_batches: whether batches come back as a whole, once per backup.
    """

    backups: Backups

    logits: Tensor
    """Logits of the backups (cell, input, class), float16."""

    owner: Tensor
    """Number of the backup that they are of (cell, input), -1 for none."""

    marks: Tensor
    """Mark of each input (input,), float32; NaN for one that was not met yet."""

    def __init__(self, backups: Backups, num_inputs: int, num_classes: int, whole_batches: bool) -> None:
        super().__init__(len(backups))
        self.backups = backups
        self.takes_mixtures = whole_batches
        self.first_kept = 0 if whole_batches else 1
        """Lowest number of a backup whose logits are kept."""
        self.cells = len(backups) - 1 if whole_batches else len(backups)
        self.register_buffer("logits", torch.zeros(self.cells, num_inputs, num_classes, dtype=torch.float16))
        self.register_buffer("owner", torch.full((self.cells, num_inputs), -1, dtype=torch.int32))
        self.register_buffer("marks", torch.full((num_inputs,), math.nan))
        self.pushed = 0
        """Backups that were pushed."""

    @property
    def filled(self) -> int:
        """Number of real backups: those that were pushed and are still there."""
        return self.backups.filled

    def push(self, model: nn.Module) -> None:
        """Drop the oldest backup and store the network as it is now."""
        self.backups.push(model)
        self.pushed += 1

    @torch.no_grad()
    def forward(self, x: Any, count: int, inputs: Tensor, keywords: Mapping[str, Any]) -> TeacherLogits:
        """Return the logits of the `count` youngest backups for the whole batch.

        Raises:
            ConfigError: the batch is not the one that was met under these numbers.
        """
        all_inputs = all_gather_rows(inputs)
        self._require_known_inputs(all_gather_rows(mark_inputs(x).to(self.marks)), all_inputs)
        found: dict[int, Tensor] = {}
        for age in reversed(range(count)):  # the youngest backup takes the place of the oldest one
            number = max(self.pushed - age, 0)
            if number in found:
                continue
            if self._has(number, all_inputs):
                found[number] = self.logits[number % self.cells, inputs].float()
            else:
                logits = at_least_float32(self.backups.run(age, x, keywords).to(inputs.device))
                found[number] = logits
                self._keep(number, all_inputs, logits)
        return TeacherLogits(torch.stack([found[max(self.pushed - age, 0)] for age in range(count)]))

    def _require_known_inputs(self, marks: Tensor, inputs: Tensor) -> None:
        """Refuse inputs that have other marks than before, and keep the marks of those that are new."""
        before = self.marks[inputs]
        self.marks[inputs] = torch.where(before.isnan(), marks, before)
        changed = ((marks - before).abs() > MARK_TOLERANCE).nonzero()
        if len(changed):
            raise ConfigError(
                f"input {int(inputs[changed[0]])} is not the one of before, to which the kept logits belong",
                "teachers=cached: no random augmentation; teachers=repeat: order and draws of epoch % mrkd.period",
            )

    def _has(self, number: int, inputs: Tensor) -> bool:
        """Return whether the logits of that backup are there for all of these inputs; the device is waited for."""
        if number < self.first_kept or not self.cells:
            return False
        return bool((self.owner[number % self.cells, inputs] == number).all())

    def _keep(self, number: int, inputs: Tensor, logits: Tensor) -> None:
        """Keep the logits of that backup for all of these inputs, of which this process has its own rows."""
        if number < self.first_kept or not self.cells:
            return
        cell = number % self.cells
        kept, is_finite = to_memory(all_gather_rows(logits), self.logits.dtype)
        self.logits[cell, inputs] = kept
        self.owner[cell, inputs] = torch.where(is_finite, number, -1).int()

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of pushed backups, for `state_dict`."""
        return {"pushed": self.pushed}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of pushed backups from a `state_dict`."""
        self.pushed = state["pushed"]


class ReplayedTeachers(Teachers):
    """Replay the logits that the student itself gave each sample in training; no network is copied or run.

    The student's latest logits of every sample are kept. When a backup is due, they become those of the youngest
    backup. Where a backup has not met a sample, the mean of the backups that have stands in; a sample that none of them
    has met has no teacher. Logits that are not finite are not kept.

    In a data-parallel run every process keeps the logits of all.

    Args:
        num_backups: n.
        num_samples: samples of the training set.
        num_classes: M.
    """

    takes_mixtures = False
    backups = None

    memory: Tensor
    """Latest logits of the student, then those of the backups (1 + backup, sample, class), float16."""

    seen: Tensor
    """Whether these logits exist (1 + backup, sample), bool."""

    def __init__(self, num_backups: int, num_samples: int, num_classes: int) -> None:
        super().__init__(num_backups)
        self.register_buffer("memory", torch.zeros(1 + num_backups, num_samples, num_classes, dtype=torch.float16))
        self.register_buffer("seen", torch.zeros(1 + num_backups, num_samples, dtype=torch.bool))
        self._filled = 0
        self._all_seen: bool | None = None
        """Whether every real backup has met every sample; None if that is not known."""

    @property
    def filled(self) -> int:
        """Number of real backups."""
        return self._filled

    def push(self, model: nn.Module) -> None:
        """Take the latest logits of the student for those of the youngest backup; the oldest ones are dropped."""
        self.memory[1:] = self.memory[:-1].clone()
        self.seen[1:] = self.seen[:-1].clone()
        self._filled = min(self._filled + 1, len(self))
        self._all_seen = None

    @torch.no_grad()
    def remember(self, inputs: Tensor, logits: Tensor) -> None:
        """Keep the student's logits (batch, class) of these samples."""
        inputs = all_gather_rows(inputs)
        kept, is_finite = to_memory(all_gather_rows(logits.detach()), self.memory.dtype)
        self.memory[0, inputs] = torch.where(is_finite.unsqueeze(1), kept, self.memory[0, inputs])
        self.seen[0, inputs] |= is_finite

    def forward(self, x: Any, count: int, inputs: Tensor, keywords: Mapping[str, Any]) -> TeacherLogits:
        """Return the logits of the `count` youngest backups for the samples that one of them has met."""
        logits = self.memory[1 : 1 + count, inputs]
        if self._have_all_seen():
            return TeacherLogits(logits)
        seen = self.seen[1 : 1 + count, inputs]
        rows = seen.any(0).nonzero().squeeze(1)
        return TeacherLogits(_fill_unseen(logits[:, rows], seen[:, rows]), rows)

    def _have_all_seen(self) -> bool:
        """Return whether every real backup has met every sample; a GPU is waited for once per backup."""
        if self._all_seen is None:
            self._all_seen = bool(self.seen[1 : 1 + self._filled].all())
        return self._all_seen

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of real backups, for `state_dict`."""
        return {"filled": self._filled}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of real backups from a `state_dict`."""
        self._filled = state["filled"]
        self._all_seen = None


def build_teachers(
    name: TeachersName,
    make_backups: Callable[[], Backups],
    num_backups: int,
    num_classes: int,
    num_samples: int,
    period: int,
) -> Teachers:
    """Build the teachers of that name.

    Args:
        name: one of `TeachersName`.
        make_backups: function that copies the network.
        num_backups: n.
        num_classes: M.
        num_samples: samples of the training set; `exact` does not use it.
        period: epochs after which batches come back; `repeat` alone uses it.
    """
    if name == "exact":
        return ExactTeachers(make_backups())
    if name == "cached":
        return CachedTeachers(make_backups(), num_samples, num_classes, whole_batches=False)
    if name == "repeat":
        return CachedTeachers(make_backups(), num_samples * period, num_classes, whole_batches=True)
    return ReplayedTeachers(num_backups, num_samples, num_classes)


def constant_weights(module: nn.Module) -> list[Tensor]:
    """Return the tensors in the state of a module that no step writes to: the weights of the backups of its teachers.

    >>> from asc_mrkd import MemoryReplay
    >>> len(constant_weights(MemoryReplay(nn.Linear(4, 3), 3, num_backups=2, interval=5)))  # two weights, two biases
    4
    """
    teachers = [layer for layer in module.modules() if isinstance(layer, Teachers)]
    backups = [one.backups for one in teachers if isinstance(one.backups, Backups)]  # trained teachers are no backups
    return [weight for one in backups for weight in one.weights()]


def mark_inputs(x: Any) -> Tensor:
    """Return a number per input (batch,) that another input hardly has, from some of the values in it."""
    values = next(leaf for leaf in tree_leaves(x) if isinstance(leaf, Tensor)).detach()
    if values.dim() == 1:
        values = values.unsqueeze(1)
    size = values[0].numel()
    places = torch.linspace(0, size - 1, min(size, MARKED_VALUES), device=values.device).long()
    index: Any = (slice(None), *torch.unravel_index(places, values.shape[1:]))
    chosen = values[index].float()
    weights = torch.linspace(1, 2, len(places), device=values.device)
    return (chosen * weights).sum(1) / chosen.abs().sum(1).clamp(min=torch.finfo(torch.float32).tiny)


def to_memory(logits: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return logits (row, class) in the type of a memory, within its range, and whether each row is finite (row,)."""
    largest = torch.finfo(dtype).max
    return logits.clamp(-largest, largest).to(dtype), torch.isfinite(logits).all(1)


def _fill_unseen(logits: Tensor, seen: Tensor) -> Tensor:
    """Put the mean of the backups that have met a sample in place of those that have not.

    Args:
        logits: (backup, row, class).
        seen: whether a backup has met the sample (backup, row); one of them has.
    """
    logits = logits.float()
    weight = seen.unsqueeze(2)
    mean = (logits * weight).sum(0) / weight.sum(0)
    return torch.where(weight, logits, mean)


def require_fitting_options(teachers: str, options: Mapping[str, Any]) -> None:
    """Refuse options of `MemoryReplay` that do not go with the teachers.

    Raises:
        ConfigError: the first such option, or there are no such teachers.
    """
    if teachers not in FITTING:
        raise ConfigError(f"there are no teachers '{teachers}'", suggest(str(teachers), FITTING))
    for name, allowed in FITTING[teachers].items():
        value = options[name]
        if value not in allowed:
            expected = " or ".join(f"{name}={one}" for one in allowed)
            raise ConfigError(f"teachers={teachers} does not go with {name}={value}: {REASONS[teachers]}", expected)
