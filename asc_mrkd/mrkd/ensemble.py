"""The fully connected network that joins the logits of the backups (section 3.3)."""

from typing import Literal

import torch
from torch import Tensor, nn


class FullyConnectedEnsemble(nn.Module):
    """Map the logits of n backups (copy, batch, class) to one set of ensemble logits (batch, class).

    `depth` layers of M units with biases and ReLU in between; depth 0 is the even average of the logits (Figure 9).
    Two layers have (n M + 1) M + (M + 1) M parameters.

    Args:
        copies: n, the number of backups.
        num_classes: M.
        depth: number of layers.
        scaling: what the first layer sees: `raw` logits, logits divided by the `temperature`, or layer-normalised ones.
        temperature: tau of that division.
        seed: initialisation; a generator of its own leaves torch's global one untouched.

    >>> sum(p.numel() for p in FullyConnectedEnsemble(copies=3, num_classes=100).parameters())
    40200
    """

    def __init__(
        self,
        copies: int,
        num_classes: int,
        depth: int = 2,
        scaling: Literal["raw", "temperature", "layernorm"] = "raw",
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.scaling, self.temperature = scaling, temperature
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in range(depth):
                layers += [nn.Linear(num_classes * (copies if layer == 0 else 1), num_classes), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, logits: Tensor) -> Tensor:
        """Map teacher logits (copy, batch, class) to ensemble logits (batch, class), in float32 or wider."""
        if not len(self.layers):
            return logits.mean(0)
        joined = self._scaled(logits).movedim(0, 1).flatten(1)
        with torch.autocast(joined.device.type, enabled=False):
            return self.layers(joined)

    def _scaled(self, logits: Tensor) -> Tensor:
        if self.scaling == "temperature":
            return logits / self.temperature
        if self.scaling == "layernorm":
            return nn.functional.layer_norm(logits, logits.shape[-1:])
        return logits
