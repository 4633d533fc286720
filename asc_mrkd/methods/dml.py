"""Deep mutual learning: networks that start apart and teach each other in every step.

Source: Zhang et al., "Deep Mutual Learning" (CVPR 2018).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from asc_mrkd.methods.base import labels_alone
from asc_mrkd.methods.msd import mutual_divergence
from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses, cross_entropy


class Dml(nn.Module):
    """The student and K - 1 peers; all are trained at once and the student alone is kept.

    The loss is the sum over the networks k of CE_k + weight tau^2 reduce_{j != k} KL(p_j || p_k), where the teaching
    p_j gets no gradient and reduce is the mean or the sum. All networks see the same input and are updated together.

    The paper has the mean, without a temperature. The authors' code (YingZhangDUT/Deep-Mutual-Learning) takes the sum;
    others (chxy95/Deep-Mutual-Learning) update the networks one after the other. The same optimiser serves all
    networks here: with a limit on the norm of the gradient, that is the norm over all of them.

    Args:
        model: the student, from an input batch to logits (batch, class).
        peers: the other networks, at least one, with initial weights of their own.
        weight: of the mutual teaching; the default is the paper's.
        temperature: tau; the default is the paper's.
        reduction: of the divergences of a network from its peers; with one peer both are the same.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: nn.Module,
        peers: Sequence[nn.Module],
        weight: float = 1.0,
        temperature: float = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.model, self.peers = model, nn.ModuleList(peers)
        self.weight, self.temperature, self.reduction = weight, temperature, reduction

    def forward(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of all networks, and the student's logits; in evaluation mode its cross-entropy alone.

        Args:
            x: whatever the networks take, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        if not self.training:
            return labels_alone(self.model, x, labels)
        logits = [logits_of(network(x)) for network in (self.model, *self.peers)]
        ce = torch.stack([cross_entropy(z, labels) for z in logits])
        kd = self.temperature**2 * mutual_divergence(logits, self.temperature, self.reduction)
        names = ("ce", *(f"ce_peer{number}" for number in range(1, len(logits))))
        parts = dict(zip(names, ce.detach(), strict=True)) | {"kd": kd.detach()}
        return Losses(ce.sum() + self.weight * kd, logits[0], parts)

    def step(self) -> None:
        """Do nothing: nothing depends on the step."""
