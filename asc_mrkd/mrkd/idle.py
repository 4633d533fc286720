"""Warnings about a training loop in which MrKD would silently do nothing, each given once."""

import inspect
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import LBFGS

from asc_mrkd import dist

UNREPORTED_STEPS = 2
"""Changes of the weights without a call of `step` after which the loop is taken to have forgotten it."""

FROM_CONSTRUCTOR = 4
FROM_CALL = 5
FROM_STEP = 3
"""Calls between `warn` and a user's `MemoryReplay(...)`, `mrkd(x, y)` and `mrkd.step()`."""

Versions = list[int]
"""Counters that torch raises whenever a tensor is written to."""


class IdleWatch:
    """Watch whether `step` follows every optimiser step and whether the optimiser has the ensemble.

    It costs nothing once both were seen, and before that some comparisons of counters; the values of the ensemble are
    compared in a single step.

    Args:
        student: weights of the student.
        ensemble: weights of the ensemble; may be empty.
    """

    def __init__(self, student: Sequence[Tensor], ensemble: Sequence[Tensor]) -> None:
        self._student = student
        self._ensemble = ensemble
        self._step_is_called = False
        self._unreported = 0
        self._seen: Versions | None = None
        self._before: tuple[Versions, Versions, list[Tensor]] | None = None
        """Counters of student and ensemble before the first step with a teacher, and the values of the ensemble."""
        self._ensemble_is_trained = not ensemble

    def forward(self, taught: bool) -> None:
        """Look at the weights before a pass; `taught` says whether the ensemble gets a gradient from it."""
        if not self._step_is_called:
            now = _versions(self._student)
            if self._seen is not None and now != self._seen and not _is_in_lbfgs():
                self._unreported += 1
            self._seen = now
            if self._unreported == UNREPORTED_STEPS:
                self._unreported += 1
                warn(
                    "the weights change, but mrkd.step() is not called after optimizer.step(): no backup is stored",
                    FROM_CALL,
                )
        if taught and not self._ensemble_is_trained and self._before is None:
            values = [tensor.detach().clone() for tensor in self._ensemble]
            self._before = (_versions(self._student), _versions(self._ensemble), values)

    def step(self) -> None:
        """Look at the weights after an optimiser step."""
        self._step_is_called = True
        if self._before is None or self._ensemble_is_trained:
            return
        student, ensemble, values = self._before
        self._before = None
        if student == _versions(self._student):
            return  # a step that was skipped
        self._ensemble_is_trained = True
        unwritten = ensemble == _versions(self._ensemble)
        if unwritten and all(map(torch.equal, values, self._ensemble)):
            warn(
                "the optimiser does not train the ensemble of the backups: "
                "give it mrkd.parameters(), not model.parameters()",
                FROM_STEP,
            )

    def forget(self) -> None:
        """Start again, as after weights were loaded."""
        self._seen = None
        self._before = None


def warn_of_no_backup(interval: int, total_steps: int, untrained_teach: bool) -> None:
    """Warn if a run is too short for a backup to be stored before its last step."""
    if interval <= total_steps:
        return
    result = "the untrained copies teach to the end" if untrained_teach else "nothing is distilled"
    warn(
        f"the run of {total_steps} steps ends before the first backup, with an interval of {interval}: {result}; "
        "interval=0.125 takes a share of the run",
        FROM_CONSTRUCTOR,
    )


def warn_of_unknown_length(interval: int) -> None:
    """Warn that an interval nobody chose may be longer than the run."""
    warn(
        f"the length of the run is not known, so the first backup is stored before step {interval}: "
        "give total_steps=len(loader) * epochs, or an interval",
        FROM_CONSTRUCTOR,
    )


def _is_in_lbfgs() -> bool:
    """Return whether this pass is one of many in the same step: LBFGS changes the weights between calls of its closure.

    Other optimisers call a closure once, before they change the weights.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), LBFGS):
            return True
        frame = frame.f_back
    return False


def _versions(tensors: Sequence[Tensor]) -> Versions:
    return [tensor._version for tensor in tensors]


def warn(message: str, caller: int) -> None:
    """Warn on the first process; `caller` is the number of calls between the user's line and this one."""
    if dist.rank() == 0:
        warnings.warn(f"MemoryReplay: {message}", stacklevel=caller + 1)
