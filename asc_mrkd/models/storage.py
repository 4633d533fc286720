"""Networks without storage: they have names, shapes and layers, but no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from asc_mrkd.errors import ModelError

MOST_PARAMETERS = 10**9
"""Parameters of the largest network that is built with storage: 4 GB of weights."""

DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)
"""Functions by which some of `torch.nn.init` fill a tensor."""


class _OnlyShapes(TorchFunctionMode):
    """Skip what is slow on tensors without storage: initial values import torch's compiler for nothing, and batch
    normalisation, which leaves every shape as it is, is a long function in Python there."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in DRAWS or getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if function is torch.nn.functional.batch_norm:
            return torch.empty_like(args[0] if args else kwargs["input"])
        return function(*args, **kwargs)


@contextmanager
def without_storage() -> Iterator[None]:
    """Build networks, and run them for the shape of their output, on the device `meta`: no memory, no random numbers.

    >>> from asc_mrkd.models import build_model
    >>> with without_storage():
    ...     network = build_model("wrn_28_10", num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    36479194
    """
    with torch.device("meta"), _OnlyShapes():
        yield


def require_buildable(network: nn.Module, name: str) -> None:
    """Refuse a network that would take all memory, after a slip in its options; best built without storage to ask this.

    Raises:
        ModelError: it has too many parameters.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if parameters > MOST_PARAMETERS:
        raise ModelError(f"{name} would have {parameters:,} parameters", "choose a smaller width")
