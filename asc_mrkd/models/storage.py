"""Networks without storage: they have names, shapes and layers, but no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)
"""Functions by which some of `torch.nn.init` fill a tensor."""


class _WithoutInitialValues(TorchFunctionMode):
    """Skip all that draws initial values: on tensors without storage it imports torch's compiler, for nothing."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in DRAWS or getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


@contextmanager
def without_storage() -> Iterator[None]:
    """Build networks on the device `meta`, which takes no memory and draws no random numbers.

    >>> from asc_mrkd.models import build_model
    >>> with without_storage():
    ...     network = build_model("wrn_28_10", num_classes=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    36479194
    """
    with torch.device("meta"), _WithoutInitialValues():
        yield
