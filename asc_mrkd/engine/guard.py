"""The guard against NaN and infinity: it stops before the step and says where."""

import torch
from torch import Tensor, nn

from asc_mrkd.errors import NonFiniteError
from asc_mrkd.mrkd.losses import Losses


def require_finite(losses: Losses, x: Tensor, model: nn.Module, where: str) -> None:
    """Raise when the loss is not finite, naming the place: the inputs, a weight, or the arithmetic.

    Raises:
        NonFiniteError: with the parts of the loss and the first tensor that is not finite.
    """
    if torch.isfinite(losses.total):
        return
    parts = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.parts.items())
    raise NonFiniteError(
        f"{where}: the loss is {losses.total.item()} ({parts}); {_culprit(x, model)}",
        "the last checkpoint is whole; try a lower train.optimizer.lr or train.precision=float32",
    )


def _culprit(x: Tensor, model: nn.Module) -> str:
    if not torch.isfinite(x).all():
        return "the inputs hold values that are not finite"
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return f"'{name}' holds values that are not finite"
    return "inputs and weights are finite, the arithmetic overflows"
