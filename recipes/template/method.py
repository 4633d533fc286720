"""A training method to start from: a class that holds the network and turns a batch into a loss.

The arguments with a default are the options: `method.weight=0.2` on the command line. Arguments without a default,
besides the network, are facts of the run: `num_classes`, `total_steps` and the other fields of
`asc_mrkd.methods.TrainingContext`. The methods in `asc_mrkd/methods` are further examples, a file each.
"""

from typing import Any

from torch import nn

from asc_mrkd.methods import Method
from asc_mrkd.methods.base import label_losses
from asc_mrkd.mrkd.losses import Labels, Losses
from asc_mrkd.schema import NotNegative


class ConfidencePenalty(Method):
    """Cross-entropy minus a share of the entropy of the prediction (Pereyra et al., ICLR 2017, workshop).

    Args:
        model: the network, from an input batch to logits (batch, class).
        weight: weight of the entropy; 0 is plain cross-entropy.
    """

    def __init__(self, model: nn.Module, *, weight: NotNegative = 0.1) -> None:
        super().__init__()
        self.model = model
        self.weight = weight

    def training_losses(self, x: Any, labels: Labels) -> Losses:
        """Return the loss of a batch; its parts are written into the log."""
        losses = label_losses(self.model, x, labels)
        log_probabilities = losses.logits.float().log_softmax(dim=1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
        return Losses(losses.total - self.weight * entropy, losses.logits, losses.parts | {"entropy": entropy.detach()})
