"""Memory-replay Knowledge Distillation as one module around any classifier (Algorithms 1 and 2)."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd.adjustment import log_target
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.ensemble import FullyConnectedEnsemble
from asc_mrkd.mrkd.labels import Labels
from asc_mrkd.mrkd.losses import Losses, cross_entropy, kl_divergence


class MemoryReplay(nn.Module):
    """The student, its backups and their ensemble; calling it gives the loss of Eq. 8, `step` rotates the backups.

    The defaults are the preset `robust`; `MemoryReplay(..., **asc_mrkd.mrkd.PRESETS["paper"])` is the literal reading.

    Args:
        model: the student, from an input batch to logits (batch, class).
        num_classes: M.
        copies: n, the number of backups.
        interval: kappa, optimiser steps between two backups.
        alpha: weight of the distillation term; 0 trains the student exactly as without MrKD.
        temperature: tau.
        ensemble: join the backups by the fully connected network; without it, the mean of their KL terms (Eq. 6).
        depth: layers of that network; 0 averages the logits.
        adjustment: swap the true class to the top of the target (section 3.4).
        adjustment_gradient: `literal` trains the ensemble through the swap as Eq. 10 says, which leaves its own top
            class free; `detached` trains it towards the student's distribution without the swap.
        ensemble_input: `raw` logits, logits over the `temperature`, or `layernorm`.
        teacher_bn: batch normalisation of the backups by running statistics (`eval`) or by the `batch`.
        before_first: what teaches before all backups are real. `init`: the untrained copies (literal). `ramp`: the
            distillation weight is alpha k / n while k of n backups exist. `skip`: labels only until the first one
            exists. In the last two, the mean logits of the real backups stand in for the missing ones.
        seed: initialisation of the ensemble.

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
        adjustment: bool = True,
        adjustment_gradient: Literal["literal", "detached"] = "literal",
        ensemble_input: Literal["raw", "temperature", "layernorm"] = "temperature",
        teacher_bn: Literal["eval", "batch"] = "batch",
        before_first: Literal["init", "ramp", "skip"] = "ramp",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if copies < 1 or interval < 1 or not 0 <= alpha <= 1 or temperature <= 0:
            raise ConfigError(
                f"MemoryReplay(copies={copies}, interval={interval}, alpha={alpha}, temperature={temperature})",
                "copies and interval are at least 1, alpha is in [0, 1], temperature above 0",
            )
        self.model = model
        self.backups = Backups(model, copies, batch_statistics=teacher_bn == "batch")
        self.ensemble = (
            FullyConnectedEnsemble(copies, num_classes, depth, ensemble_input, temperature, seed) if ensemble else None
        )
        self.interval, self.alpha, self.temperature = interval, alpha, temperature
        self.adjustment, self.adjustment_gradient, self.before_first = adjustment, adjustment_gradient, before_first
        self.steps = 0
        self.to(next(iter(self.backups[0].values())).device)

    def forward(self, x: Tensor, labels: Labels) -> Losses:
        """Return the loss of Eq. 8 for one batch; the teachers see the very input that the student sees.

        Args:
            x: whatever the student takes, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        logits = self.model(x)
        ce = cross_entropy(logits, labels)
        weight = self.distillation_weight()
        if weight == 0:
            return Losses(ce, logits, {"ce": ce.detach()})
        kd = self.temperature**2 * self._divergence(self._teacher_logits(x).to(ce.dtype), logits, labels)
        return Losses((1 - weight) * ce + weight * kd, logits, {"ce": ce.detach(), "kd": kd.detach()})

    def step(self) -> None:
        """Count one optimiser step; store a backup when the next step t has t mod kappa = 0 (Algorithm 1)."""
        self.steps += 1
        if (self.steps + 1) % self.interval == 0:
            self.backups.push(self.model)

    def distillation_weight(self) -> float:
        """Return the weight of the distillation term at this step: alpha, or less while backups are missing."""
        if self.before_first == "ramp":
            return self.alpha * self.backups.filled / len(self.backups)
        if self.before_first == "skip" and not self.backups.filled:
            return 0.0
        return self.alpha

    def _teacher_logits(self, x: Tensor) -> Tensor:
        """Return (copy, batch, class): all backups with `init`, else the real ones; the ensemble always gets n."""
        if self.before_first == "init":
            return self.backups(x)
        real = self.backups(x, count=self.backups.filled)
        missing = len(self.backups) - self.backups.filled
        if self.ensemble is None or not missing:
            return real
        return torch.cat([real, real.mean(0, keepdim=True).expand(missing, -1, -1)])

    def _divergence(self, teachers: Tensor, logits: Tensor, labels: Labels) -> Tensor:
        tau = self.temperature
        if self.ensemble is None:
            targets = [log_target(z, labels, tau, self.adjustment) for z in teachers]
            return torch.stack([kl_divergence(target, logits, tau) for target in targets]).mean()
        joined = self.ensemble(teachers)
        if self.adjustment_gradient == "literal":
            return kl_divergence(log_target(joined, labels, tau, self.adjustment), logits, tau)
        student_term = kl_divergence(log_target(joined.detach(), labels, tau, self.adjustment), logits, tau)
        ensemble_term = kl_divergence(log_target(joined, labels, tau, adjust=False), logits.detach(), tau)
        return student_term + ensemble_term - ensemble_term.detach()

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of steps taken, for `state_dict`."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take the number of steps from a `state_dict`."""
        self.steps = state["steps"]
