"""Data parallelism: one process a device, started by `torchrun`, each with its rows of every batch.

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

LOOK_EVERY = 50
"""Steps between two agreements to stop on a GPU, where each waits for the device; on a CPU it is every step."""


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that `torchrun` has started beside this one; alone, do nothing."""
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
    """Refuse batches in which a process would have no row.

    Raises:
        ConfigError: the batches, or the last one of an epoch, are smaller than the number of processes.
    """
    smallest = samples % batch_size or batch_size
    if smallest < world_size():
        raise ConfigError(
            f"{world_size()} processes cannot share a batch of {smallest}: {samples} samples, {batch_size} per batch",
            "start fewer processes, or choose another train.batch_size",
        )


def wrapped(method: Method) -> Callable[..., Losses]:
    """Return what is to be called in place of the method: with others, gradients are averaged on the way back.

    Buffers are not touched here: those of a method hold what every process knows alike.
    """
    if not is_parallel():
        return method
    return DistributedDataParallel(method, broadcast_buffers=False, find_unused_parameters=method.has_unused_parameters)


def average_statistics(method: Method) -> None:
    """Average the running statistics of batch normalisation over the processes, in one exchange."""
    layers = [layer for layer in method.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    running = [tensor for layer in layers for tensor in (layer.running_mean, layer.running_var) if tensor is not None]
    if not is_parallel() or not running:
        return
    mean = all_reduce_sum(torch.cat([tensor.flatten() for tensor in running])) / world_size()
    for tensor, part in zip(running, mean.split([tensor.numel() for tensor in running]), strict=True):
        tensor.copy_(part.view_as(tensor))


def share_of_loss(own: int, whole: int) -> float:
    """Return the factor on the mean loss of `own` rows that makes the mean over the processes that of the whole batch.

    >>> share_of_loss(5, 5)
    1.0
    """
    return own * world_size() / whole


def agreed(should_stop: Callable[[], bool], device: torch.device) -> Callable[[], bool]:
    """Return a question that all processes answer alike: yes, as soon as one of them wants to stop."""
    if not is_parallel():
        return should_stop
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        if device.type != "cpu" and asked % LOOK_EVERY:
            return False
        return bool(all_reduce_sum(torch.tensor(float(should_stop()), device=device)).item())

    return ask


def wait_for_all() -> None:
    """Wait until every process has come here."""
    if is_parallel():
        dist.barrier()
