"""A checksum over nested tensors and values: it finds the flipped bit that a file format lets through."""

import hashlib
from typing import Any

import torch


def digest(tree: Any) -> str:
    """Return the SHA-256 of a nest of dicts, lists, tensors and plain values.

    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
    True
    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.ones(2)})
    False
    """
    checksum = hashlib.sha256()
    _feed(checksum, tree)
    return checksum.hexdigest()


def _feed(checksum: Any, tree: Any) -> None:
    if isinstance(tree, torch.Tensor):
        checksum.update(f"{tree.dtype}{tuple(tree.shape)}".encode())
        checksum.update(tree.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(tree, dict):
        for key, value in tree.items():
            checksum.update(f"{key!r}:".encode())
            _feed(checksum, value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            _feed(checksum, value)
            checksum.update(b",")
    else:
        checksum.update(repr(tree).encode())
