"""The origin of NaN and infinity in a training step: the inputs, a layer, a weight, the samples."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asc_mrkd.methods import Method
from asc_mrkd.mrkd.networks import unwrap

LOWER_RATE = "choose another --out and a lower train.optimizer.lr; the last checkpoint is as it was"
"""Hint for a training that diverges."""

SHOWN_SAMPLES = 3
"""Samples that a message names."""


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all values of all tensors are finite; this waits for the device."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def find_culprit(method: Method, x: Tensor) -> str:
    """Return in words where values are not finite first, in the order of a training step.

    Args:
        method: the method after the step, or before its optimiser step.
        x: inputs of the step.
    """
    if not are_finite([x]):
        return "the inputs hold values that are not finite"
    student = unwrap(method.model)
    layer = first_layer_not_finite(student, x)
    if layer:
        return f"layer '{layer}' gives values that are not finite"
    for name, parameter in reversed(list(student.named_parameters())):  # as gradients flow
        if parameter.grad is not None and not are_finite([parameter.grad]):
            return f"the gradient of '{name}' is not finite"
    for name, tensor in (*method.named_parameters(), *method.named_buffers()):
        if tensor.is_floating_point() and not are_finite([tensor]):
            return f"'{name}' is not finite after it"
    return "all layers are finite, the loss overflows"


def first_layer_not_finite(model: nn.Module, x: Tensor) -> str:
    """Return the name of the first layer whose output is not finite; "" if there is none.

    >>> network = nn.Sequential(nn.Linear(1, 1), nn.Flatten())
    >>> first_layer_not_finite(network, torch.tensor([[float("inf")]]))
    '0'
    """
    found: list[str] = []

    def look(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if not found and isinstance(output, Tensor) and not are_finite([output]):
            found.append(name)

    hooks = [layer.register_forward_hook(partial(look, name)) for name, layer in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else ""


def faulty_samples(names: list[str], x: Tensor, logits: Tensor) -> str:
    """Return the names of the samples whose inputs, or else logits, are not finite; without such, of all.

    >>> faulty_samples(["a.wav", "b.wav"], torch.zeros(2, 1), torch.tensor([[0.0], [float("nan")]]))
    'b.wav'
    """
    for values in (x, logits):
        is_wrong = (~torch.isfinite(values)).flatten(1).any(1).tolist()
        if any(is_wrong):
            names = [name for name, wrong in zip(names, is_wrong, strict=True) if wrong]
            break
    more = f" and {len(names) - SHOWN_SAMPLES} more" if len(names) > SHOWN_SAMPLES else ""
    return ", ".join(names[:SHOWN_SAMPLES]) + more
