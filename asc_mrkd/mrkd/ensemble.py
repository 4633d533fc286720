"""The fully connected network that combines the logits of the backups (section 3.3)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from asc_mrkd.errors import require_known
from asc_mrkd.rng import torch_seeded

Scaling = Literal["raw", "temperature", "layernorm"]
"""Forms of the input of the ensemble."""


class FullyConnectedEnsemble(nn.Module):
    """Map the logits of n backups (backup, batch, class) to one set of ensemble logits (batch, class).

    The network has `layers` layers of M units with biases, and ReLU in between. Without layers it is the even average
    of the logits (Figure 9). Two layers have (n M + 1) M + (M + 1) M parameters.

    Args:
        num_backups: n.
        num_classes: M.
        layers: number of layers.
        scaling: form of the input: `raw` logits, logits divided by the `temperature`, or layer-normalised logits.
        temperature: tau of that division.
        seed: seed of the initial weights; the global generators of torch stay as they were.

    Raises:
        ConfigError: there is no such form of the input.

    >>> sum(p.numel() for p in FullyConnectedEnsemble(num_backups=3, num_classes=100).parameters())
    40200
    """

    def __init__(
        self,
        num_backups: int,
        num_classes: int,
        layers: int = 2,
        scaling: Scaling = "raw",
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_known(scaling, get_args(Scaling), "scaling")
        self.scaling = scaling
        self.temperature = temperature
        modules: list[nn.Module] = []
        inputs = num_backups * num_classes
        with torch_seeded(seed):
            for _ in range(layers):
                modules += [nn.Linear(inputs, num_classes), nn.ReLU()]
                inputs = num_classes
        self.layers = nn.Sequential(*modules[:-1])

    def forward(self, logits: Tensor) -> Tensor:
        """Map backup logits (backup, batch, class) to ensemble logits (batch, class), in the type of the weights."""
        if not len(self.layers):
            return logits.mean(0)
        inputs = self._scale(logits).movedim(0, 1).flatten(1).to(next(self.layers.parameters()).dtype)
        with torch.autocast(inputs.device.type, enabled=False):
            return self.layers(inputs)

    def _scale(self, logits: Tensor) -> Tensor:
        if self.scaling == "temperature":
            return logits / self.temperature
        if self.scaling == "layernorm":
            return nn.functional.layer_norm(logits, logits.shape[-1:])
        return logits
