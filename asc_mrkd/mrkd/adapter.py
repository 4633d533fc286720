"""Logits out of whatever a classifier returns."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from asc_mrkd.errors import ModelError

NAMES = ("logits", "out", "output")
"""Keys and attributes under which classifiers return their logits: transformers, torchvision, others."""


def logits_of(output: Any) -> Tensor:
    """Return the logits (batch, class): the output itself, an entry named `logits` or `out`, or the first of a tuple.

    Raises:
        ModelError: there is no such tensor in it.

    >>> import torch
    >>> logits = torch.zeros(2, 3)
    >>> all(logits_of(output) is logits for output in (logits, (logits, "hidden"), {"aux": 1, "out": logits}))
    True
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        found = next((output[name] for name in NAMES if name in output), None)
    else:
        found = next((getattr(output, name) for name in NAMES if hasattr(output, name)), None)
        if found is None and isinstance(output, tuple | list) and output:
            found = output[0]
    if isinstance(found, Tensor):
        return found
    keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise ModelError(
        f"no logits in what the network returns: {type(output).__name__}{keys}",
        "pass logits_of=lambda output: ... that picks the tensor (batch, class)",
    )
