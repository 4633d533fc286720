"""Knowledge adjustment (section 3.4): the true class gets the highest value by a swap."""

import torch
from torch import Tensor
from torch.nn import functional as F

from asc_mrkd.mrkd.labels import Labels, MixedLabels
from asc_mrkd.mrkd.losses import at_least_float32


def knowledge_adjustment(logits: Tensor, labels: Tensor) -> Tensor:
    """Swap the value at the true class with the largest value; a right prediction stays as it is.

    Swapping commutes with softmax, so logits and probabilities may be given alike. Of equal maxima the first counts,
    unless the true class is one of them. The input is not modified; gradients follow the swap.

    Args:
        logits: (batch, class).
        labels: class indices (batch,).

    Returns:
        (batch, class), the same values in another order.

    >>> knowledge_adjustment(torch.tensor([[1.0, 3.0, -1.0]]), torch.tensor([0])).tolist()
    [[3.0, 1.0, -1.0]]
    """
    label = labels.unsqueeze(1)
    at_label = logits.gather(1, label)
    largest, top = logits.max(dim=1, keepdim=True)
    top = torch.where(at_label == largest, label, top)
    return logits.scatter(1, top, at_label).scatter(1, label, largest)


def log_target(logits: Tensor, labels: Labels, temperature: float, adjust: bool = True) -> Tensor:
    """Return log p_correct of Eq. 8: the log-softmax of the adjusted logits at `temperature`.

    For a mixed batch it is the mixture of the targets adjusted to either label, with Mixup's weight; a weight of 1
    gives the plain target.

    Args:
        logits: teacher logits (batch, class).
        labels: class indices (batch,) or `MixedLabels`.
        temperature: tau.
        adjust: without it the target is that of the logits as they are.

    Returns:
        log-probabilities (batch, class), float32 or wider.
    """
    logits = at_least_float32(logits)
    if not adjust:
        return F.log_softmax(logits / temperature, dim=1)
    if isinstance(labels, MixedLabels):
        weight = labels.weight.to(logits.dtype).unsqueeze(1)
        first = log_target(logits, labels.first, temperature)
        second = log_target(logits, labels.second, temperature)
        return torch.logaddexp(weight.log() + first, (1 - weight).log() + second)
    return F.log_softmax(knowledge_adjustment(logits, labels) / temperature, dim=1)
