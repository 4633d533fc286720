"""Data-parallel training, started by `torchrun`: rank, world size and the collective operations.

In a single process nothing is exchanged: it has rank 0 of 1, and tensors come back unchanged. Row p of a batch belongs
to the process with rank p mod world_size.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Return the rank of this process; rank 0 writes the files."""
    return dist.get_rank() if is_parallel() else 0


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if is_parallel() else 1


def is_parallel() -> bool:
    """Return whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def local_rows() -> slice:
    """Return the rows of a batch that belong to this process.

    >>> list(range(5))[local_rows()]
    [0, 1, 2, 3, 4]
    """
    return slice(rank(), None, world_size())


def all_gather_rows(rows: Tensor) -> Tensor:
    """Gather the rows of all processes: the first row of each, then the second of each, and so on.

    For rows that `local_rows` selects this is the order of the batch. A process may have more rows than another.

    Args:
        rows: (row, ...), without gradients.

    >>> all_gather_rows(torch.arange(3)).tolist()
    [0, 1, 2]
    """
    if not is_parallel():
        return rows
    own_count = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    own_count[rank()] = len(rows)
    counts = all_reduce_sum(own_count)
    padded = rows.new_zeros(int(counts.max()), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    is_row = torch.arange(len(padded), device=rows.device).unsqueeze(1) < counts  # (row, process)
    return torch.stack(parts, 1)[is_row]


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum of `values` over all processes."""
    if is_parallel():
        values = values.clone()
        dist.all_reduce(values)
    return values


def broadcast(tensor: Tensor) -> None:
    """Overwrite `tensor` with the tensor of rank 0."""
    if is_parallel():
        dist.broadcast(tensor, 0)
