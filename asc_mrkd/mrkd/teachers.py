"""The teachers of a step: one object per way to the logits of the backups, behind one interface.

- `exact`: every backup runs on every batch, as in the paper.
- `replay`: the logits that the student itself gave its samples before each rotation; no network is copied or run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asc_mrkd.dist import all_gather_rows
from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd.backups import Backups

TeachersName = Literal["exact", "replay"]
"""Ways to the logits of the backups."""

FITTING: dict[str, dict[str, Sequence[Any]]] = {
    "exact": {},
    "replay": {
        "teacher_bn": ["batch"],
        "warmup": ["ramp", "skip", "linear"],
        "snapshot_source": ["raw"],
        "teacher_devices": [None],
    },
}
"""Values that each way allows for other options of `MemoryReplay`."""

REASONS = {
    "replay": "the student's logits of its training steps are replayed, which no backup computes",
}
"""Reason why a way allows no other values."""


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
    - `samples`: numbers of the samples in the training set (batch,), for those with `needs_samples`;
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

    def remember(self, samples: Tensor, logits: Tensor) -> None:
        """Take note of the student's logits (batch, class) of these samples in a training step."""


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

    def forward(self, x: Any, count: int, samples: Tensor | None, keywords: Mapping[str, Any]) -> TeacherLogits:
        """Return the logits of the `count` youngest backups for the whole batch."""
        return TeacherLogits(self.backups(x, count, **keywords))


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
    def remember(self, samples: Tensor, logits: Tensor) -> None:
        """Keep the student's logits (batch, class) of these samples."""
        samples = all_gather_rows(samples)
        logits = all_gather_rows(logits.detach())
        largest = torch.finfo(self.memory.dtype).max
        is_finite = torch.isfinite(logits).all(1)
        kept = logits.clamp(-largest, largest).to(self.memory.dtype)
        self.memory[0, samples] = torch.where(is_finite.unsqueeze(1), kept, self.memory[0, samples])
        self.seen[0, samples] |= is_finite

    def forward(self, x: Any, count: int, samples: Tensor, keywords: Mapping[str, Any]) -> TeacherLogits:
        """Return the logits of the `count` youngest backups for the samples that one of them has met."""
        logits = self.memory[1 : 1 + count, samples]
        if self._have_all_seen():
            return TeacherLogits(logits)
        seen = self.seen[1 : 1 + count, samples]
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
        ConfigError: the first such option.
    """
    for name, allowed in FITTING[teachers].items():
        value = options[name]
        if value not in allowed:
            expected = " or ".join(f"{name}={one}" for one in allowed)
            raise ConfigError(f"teachers={teachers} does not go with {name}={value}: {REASONS[teachers]}", expected)
