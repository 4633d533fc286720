"""Data parallelism: one process per device, started by `torchrun`, each with its rows of every batch.

    torchrun --nproc-per-node 2 -m asc_mrkd train CONF.yaml --out RUNDIR

Batch normalisation sees the rows of its process; its running statistics are the mean over the processes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd.dist import all_reduce_sum, is_parallel, world_size
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import Method
from asc_mrkd.mrkd.losses import Losses

STOP_CHECK_EVERY = 50
"""Steps between two checks on a GPU, each of which waits for the device; a CPU checks after every step."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes that `torchrun` has started; alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or is_parallel():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def require_rows(samples: int, batch_size: int) -> None:
    """Refuse batches that leave a process without a row.

    Raises:
        ConfigError: the batches, or the last one of an epoch, are smaller than the number of processes.
    """
    smallest = samples % batch_size or batch_size
    if smallest < world_size():
        raise ConfigError(
            f"{world_size()} processes cannot share a batch of {smallest}: {samples} samples, {batch_size} per batch",
            "start fewer processes, or choose another train.batch_size",
        )


def wrap_ddp(method: Method) -> Callable[..., Losses]:
    """Wrap the method in DistributedDataParallel if several processes train together.

    Buffers are left alone: those of a method are the same in every process.
    """
    if not is_parallel():
        return method
    return DistributedDataParallel(method, broadcast_buffers=False, find_unused_parameters=method.has_unused_parameters)


def average_statistics(method: Method) -> None:
    """Average the running statistics of batch normalisation over the processes, in one all-reduce."""
    layers = [layer for layer in method.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    running = [tensor for layer in layers for tensor in (layer.running_mean, layer.running_var) if tensor is not None]
    if not is_parallel() or not running:
        return
    mean = all_reduce_sum(torch.cat([tensor.flatten() for tensor in running])) / world_size()
    for tensor, part in zip(running, mean.split([tensor.numel() for tensor in running]), strict=True):
        tensor.copy_(part.view_as(tensor))


def share_of_loss(own: int, whole: int) -> float:
    """Return the factor on the mean loss of `own` rows with which the mean over the processes is that of the batch.

    >>> share_of_loss(5, 5)
    1.0
    """
    return own * world_size() / whole


def any_rank_stops(should_stop: Callable[[], bool], device: torch.device) -> Callable[[], bool]:
    """Return a function that is true in all processes as soon as `should_stop` is in one of them."""
    if not is_parallel():
        return should_stop
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        if device.type != "cpu" and asked % STOP_CHECK_EVERY:
            return False
        return bool(all_reduce_sum(torch.tensor(float(should_stop()), device=device)).item())

    return ask


def barrier() -> None:
    """Wait until every process has reached this point."""
    if is_parallel():
        dist.barrier()
