"""The logits inside the output of any classifier."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from asc_mrkd.errors import ModelError

LOGITS_NAMES = ("logits", "out", "output")
"""Keys and attributes under which classifiers return their logits: transformers, torchvision, others."""


def logits_of(output: Any) -> Tensor:
    """Return the logits (batch, class): the output itself, an entry named `logits` or `out`, or the first of a tuple.

    Raises:
        ModelError: the output holds no such tensor.

    >>> import torch
    >>> logits = torch.zeros(2, 3)
    >>> all(logits_of(output) is logits for output in (logits, (logits, "hidden"), {"aux": 1, "out": logits}))
    True
    """
    found = _find_logits(output)
    if isinstance(found, Tensor):
        return found
    keys = ""
    if isinstance(output, Mapping):
        keys = f" with {', '.join(map(str, output))}"
    raise ModelError(
        f"no logits in the output of the network: {type(output).__name__}{keys}",
        "pass logits_of=lambda output: ... that picks the tensor (batch, class)",
    )


def _find_logits(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output
    for name in LOGITS_NAMES:
        if isinstance(output, Mapping):
            if name in output:
                return output[name]
        elif hasattr(output, name):
            return getattr(output, name)
    if isinstance(output, tuple | list) and output:
        return output[0]
    return None
