"""The processes of a data-parallel run, started by `torchrun`: who takes which rows, and what they tell each other.

Alone, every function returns what it was given. Row p of a batch belongs to process p mod n.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Return the number of this process, 0 for the one that writes files."""
    return dist.get_rank() if is_parallel() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if is_parallel() else 1


def is_parallel() -> bool:
    """Return whether this process has joined others."""
    return dist.is_available() and dist.is_initialized()


def local_rows() -> slice:
    """Return which rows of a batch belong to this process.

    >>> list(range(5))[local_rows()]
    [0, 1, 2, 3, 4]
    """
    return slice(rank(), None, world_size())


def all_gather_rows(rows: Tensor) -> Tensor:
    """Put the rows of all processes together again, in the order of the batch.

    Args:
        rows: (row, ...), what `local_rows` picked or was computed from it; without gradients.

    >>> all_gather_rows(torch.arange(3)).tolist()
    [0, 1, 2]
    """
    if not is_parallel():
        return rows
    counts = all_reduce_sum(torch.eye(world_size(), dtype=torch.int64, device=rows.device)[rank()] * len(rows)).tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.stack(parts, 1).flatten(0, 1)[: sum(counts)]


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if is_parallel():
        values = values.clone()
        dist.all_reduce(values)
    return values


def broadcast(tensor: Tensor) -> None:
    """Overwrite a tensor with that of the first process."""
    if is_parallel():
        dist.broadcast(tensor, 0)
