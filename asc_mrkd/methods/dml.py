"""Deep mutual learning: networks with different initial weights teach each other in every step.

Source: Zhang et al., "Deep Mutual Learning" (CVPR 2018).
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from asc_mrkd.methods.base import Method, cross_entropies, mutual_divergence
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.rng import generator
from asc_mrkd.schema import NUMBER, NotNegative, Temperature


class Dml(Method):
    """Deep mutual learning: networks with different initial weights teach each other; the first one is kept.

    The K networks are the student and K - 1 peers, trained at the same time.

    The loss is the sum over the networks k of CE_k + weight tau^2 reduce_{j != k} KL(p_j || p_k), where the teaching
    p_j gets no gradient and reduce is the mean or the sum. All networks see the same input and are updated together.

    The paper has the mean, without a temperature. The authors' code (YingZhangDUT/Deep-Mutual-Learning) takes the sum;
    others (chxy95/Deep-Mutual-Learning) update the networks one after the other. The same optimiser serves all
    networks here: with a limit on the norm of the gradient, that is the norm over all of them.

    Args:
        model: the student, from an input batch to logits (batch, class).
        new_model: function that builds a peer from a seed.
        seed: seed of the run; the seeds of the peers are drawn from it.
        peers: number of networks K, the student included.
        weight: weight of the mutual teaching; default of the paper.
        temperature: tau; default of the paper.
        reduction: reduction of the divergences of a network from its peers; with two networks both are the same.
    """

    def __init__(
        self,
        model: nn.Module,
        new_model: Callable[[int], nn.Module],
        seed: int,
        *,
        peers: Annotated[int, Field(ge=2, le=64), NUMBER] = 2,
        weight: NotNegative = 1.0,
        temperature: Temperature = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.model = model
        seeds = [int(generator("peer", seed, number).integers(2**31)) for number in range(1, peers)]
        self.peers = nn.ModuleList(new_model(one) for one in seeds)
        self.weight = weight
        self.temperature = temperature
        self.reduction = reduction

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of all networks, and the student's logits.

        Args:
            x: input of the networks, batch first.
            labels: class indices (batch,), or `MixedLabels` when `x` is mixed.
        """
        logits = [logits_of(network(x)) for network in (self.model, *self.peers)]
        ce, parts = cross_entropies(logits, labels, [f"peer{number}" for number in range(1, len(logits))])
        kd = self.temperature**2 * mutual_divergence(logits, self.temperature, self.reduction)
        return Losses(ce.sum() + self.weight * kd, logits[0], parts | {"kd": kd.detach()})
