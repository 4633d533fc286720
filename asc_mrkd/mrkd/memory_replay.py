"""Memory-replay Knowledge Distillation as one module around any classifier (Algorithms 1 and 2)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd import dist
from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.adjustment import Adjustment, adjusted_divergence
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.diagnostics import teacher_diagnostics
from asc_mrkd.mrkd.ensemble import FullyConnectedEnsemble
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy

EMA_DECAY = 0.999
"""Of the running average with `snapshot_source="ema"`, as in the mean teacher; at first 1 - 1 / (step + 1)."""

DIAGNOSE_EVERY = 10
"""Steps between two looks at the teachers."""


class MemoryReplay(nn.Module):
    """The student, its backups and their ensemble; calling it gives the loss of Eq. 8, `step` rotates the backups.

    The defaults are the preset `robust`; `MemoryReplay(..., **asc_mrkd.mrkd.PRESETS["paper"])` is the literal reading,
    `**asc_mrkd.mrkd.VARIANTS["plain"]` leaves parts out. A student in `DistributedDataParallel` is taken as it is: all
    processes then have the same backups and the same ensemble.

    Args:
        model: the student, from an input batch to logits (batch, class), or to something that `logits_of` understands.
        num_classes: M.
        copies: n, the number of backups.
        interval: kappa, optimiser steps between two backups.
        alpha: weight of the distillation term; 0 trains the student exactly as without MrKD.
        temperature: tau.
        ensemble: join the backups by the fully connected network; without it, the mean of their KL terms (Eq. 6).
        depth: layers of that network; 0 averages the logits.
        ensemble_loss: what trains that network: the KL term (`kl`, Eq. 10), the labels (`ce`), or both (Table 4).
        adjustment: what happens where the teacher is wrong: `swap` (section 3.4), `revision`, `skip_wrong`, `mask`,
            `none`; see `asc_mrkd.mrkd.adjustment`.
        adjustment_gradient: `literal` trains the ensemble through the adjustment as Eq. 10 says, which leaves its own
            top class free; `detached` trains it towards the student's distribution without the adjustment.
        ensemble_input: `raw` logits, logits over the `temperature`, or `layernorm`.
        teacher_bn: batch normalisation of the backups by running statistics (`eval`) or by the `batch`.
        before_first: what teaches before all backups are real. `init`: the untrained copies (literal). `ramp`: the
            distillation weight is alpha k / n while k of n backups exist. `skip`: labels only until the first one
            exists. In the last two, the mean logits of the real backups stand in for the missing ones.
        snapshot_source: the backups are copies of the weights (`raw`) or of their running average (`ema`).
        teacher_devices: devices that the backups are spread over; None puts them beside the student.
        seed: initialisation of the ensemble.
        logits_of: picks the logits out of what the model returns; the default knows tensors, tuples, and mappings or
            objects with `logits` or `out`.

    >>> from torch import nn
    >>> mrkd = MemoryReplay(nn.Linear(4, 3), num_classes=3, interval=2)
    >>> loss = mrkd(torch.zeros(5, 4), torch.tensor([0, 1, 2, 0, 1]))
    >>> loss.total.backward(); mrkd.step(); mrkd.backups.filled
    1
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        copies: int = 3,
        interval: int = 9775,
        alpha: float = 0.5,
        temperature: float = 3.0,
        *,
        ensemble: bool = True,
        depth: int = 2,
        ensemble_loss: Literal["kl", "ce", "kl+ce"] = "kl",
        adjustment: Adjustment = "swap",
        adjustment_gradient: Literal["literal", "detached"] = "literal",
        ensemble_input: Literal["raw", "temperature", "layernorm"] = "temperature",
        teacher_bn: Literal["eval", "batch"] = "batch",
        before_first: Literal["init", "ramp", "skip"] = "ramp",
        snapshot_source: Literal["raw", "ema"] = "raw",
        teacher_devices: Sequence[str | torch.device] | None = None,
        seed: int = 0,
        logits_of: Callable[[Any], Tensor] = logits_of,
    ) -> None:
        super().__init__()
        if copies < 1 or interval < 1 or not 0 <= alpha <= 1 or temperature <= 0:
            raise ConfigError(
                f"MemoryReplay(copies={copies}, interval={interval}, alpha={alpha}, temperature={temperature})",
                "copies and interval are at least 1, alpha is in [0, 1], temperature above 0",
            )
        self.model, self.logits_of = model, logits_of
        self.backups = Backups(model, copies, teacher_bn == "batch", teacher_devices, logits_of)
        self.average = Backups(model, 1) if snapshot_source == "ema" else None
        self.ensemble = (
            FullyConnectedEnsemble(copies, num_classes, depth, ensemble_input, temperature, seed) if ensemble else None
        )
        self.interval, self.alpha, self.temperature = interval, alpha, temperature
        self.adjustment, self.adjustment_gradient, self.before_first = adjustment, adjustment_gradient, before_first
        self.ensemble_loss = ensemble_loss
        self.steps = 0
        self.to(next(iter(model.parameters())).device)
        if self.ensemble is not None and isinstance(model, DistributedDataParallel):
            for parameter in self.ensemble.parameters():  # as the wrapper does it for those of the student
                parameter.register_hook(lambda gradient: dist.all_reduce_sum(gradient) / dist.world_size())

    def forward(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of Eq. 8 for one batch; the teachers see the very input that the student sees.

        The parts are `ce`, `kd` (tau^2 KL) and, every tenth step, what `teacher_diagnostics` says, with the age of each
        backup in steps, `teacher_age_i`.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        logits = self.logits_of(self.model(x))
        ce = cross_entropy(logits, labels)
        weight = self.distillation_weight()
        if weight == 0:
            return Losses(ce, logits, {"ce": ce.detach()})
        real = self.backups(x, self._teaching()).to(ce.dtype)
        joined = None if self.ensemble is None else self.ensemble(self._with_stand_ins(real))
        kd = self.temperature**2 * self._divergence(real, joined, logits, labels)
        total = (1 - weight) * ce + weight * kd
        if joined is not None and self.ensemble_loss != "kl":
            of_ensemble = cross_entropy(joined, labels)
            total = total + of_ensemble - of_ensemble.detach()  # its value stays that of Eq. 8
        parts = {"ce": ce.detach(), "kd": kd.detach()}
        if self.steps % DIAGNOSE_EVERY == 0:
            parts |= teacher_diagnostics(real, joined, logits, labels, self.temperature, self.adjustment)
            parts |= self._ages(logits.device)
        return Losses(total, logits, parts)

    def step(self) -> None:
        """Count one optimiser step; store a backup when the next step t has t mod kappa = 0 (Algorithm 1)."""
        self.steps += 1
        if self.average is not None:
            self.average.blend(self.model, min(1 - 1 / (self.steps + 1), EMA_DECAY))
        if (self.steps + 1) % self.interval == 0:
            self.backups.push(self.model if self.average is None else self.average[0])

    def distillation_weight(self) -> float:
        """Return the weight of the distillation term at this step: alpha, or less while backups are missing."""
        if self.before_first == "ramp":
            return self.alpha * self.backups.filled / len(self.backups)
        if self.before_first == "skip" and not self.backups.filled:
            return 0.0
        return self.alpha

    def _teaching(self) -> int:
        """Return how many backups teach: all with `init`, else the real ones."""
        return len(self.backups) if self.before_first == "init" else self.backups.filled

    def _with_stand_ins(self, real: Tensor) -> Tensor:
        """Fill (copy, batch, class) up to n, with the mean of those there are."""
        missing = len(self.backups) - len(real)
        return torch.cat([real, real.mean(0, keepdim=True).expand(missing, -1, -1)]) if missing else real

    def _divergence(self, real: Tensor, joined: Tensor | None, logits: Tensor, labels: Labels) -> Tensor:
        tau, adjustment = self.temperature, self.adjustment
        if joined is None:
            return torch.stack([adjusted_divergence(z, logits, labels, tau, adjustment) for z in real]).mean()
        if self.ensemble_loss == "ce":
            return adjusted_divergence(joined.detach(), logits, labels, tau, adjustment)
        if self.adjustment_gradient == "literal":
            return adjusted_divergence(joined, logits, labels, tau, adjustment)
        student_term = adjusted_divergence(joined.detach(), logits, labels, tau, adjustment)
        ensemble_term = adjusted_divergence(joined, logits.detach(), labels, tau, "none")
        return student_term + ensemble_term - ensemble_term.detach()

    def _ages(self, device: torch.device) -> dict[str, Tensor]:
        """Return the steps since each real backup was taken: before a step t with t mod kappa = 0."""
        youngest = (self.steps + 1) % self.interval
        ages = [youngest + i * self.interval for i in range(self.backups.filled)]
        return {f"teacher_age_{i}": torch.tensor(float(age), device=device) for i, age in enumerate(ages, start=1)}

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]
