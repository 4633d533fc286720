"""Data parallelism: one process per device, started by `torchrun`, each with its rows of every batch.

    torchrun --nproc-per-node 2 -m asc_mrkd train CONF.yaml --out RUNDIR

Batch normalisation sees the rows of its process; its running statistics are the mean over the processes.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd.dist import all_reduce_sum, is_parallel, rank, world_size
from asc_mrkd.errors import AscMrkdError, ConfigError, InterruptedRun, first_line
from asc_mrkd.methods import Method
from asc_mrkd.mrkd.losses import Losses

STOP_CHECK_EVERY = 50
"""Steps between two checks on a GPU, each of which waits for the device; a CPU checks after every step."""

LAUNCHER = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables that `torchrun` sets besides WORLD_SIZE."""

LAUNCH = "torchrun --nproc-per-node 2 -m asc_mrkd train ...; to train in one process: unset WORLD_SIZE"

LAUNCHER_CHECK_SECONDS = 1.0
"""Time between two looks for the launcher (s)."""

SAVING_SECONDS = 60.0
"""Time to save and end after the launcher has died (s)."""


def launched_processes() -> int:
    """Return the number of processes that were started to train together, joined or not yet.

    Raises:
        ConfigError: the variables of the launcher are not complete.
    """
    text = os.environ.get("WORLD_SIZE") or "1"
    if text == "1":
        return 1
    missing = [name for name in LAUNCHER if name not in os.environ]
    if missing:
        raise ConfigError(f"WORLD_SIZE={text} is set, but not {', '.join(missing)}: no launcher has set it", LAUNCH)
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        if not os.environ[name].isdecimal():
            raise ConfigError(f"{name}={os.environ[name]} is not a number", LAUNCH)
    if int(os.environ["RANK"]) >= int(text):
        raise ConfigError(f"RANK={os.environ['RANK']} is not one of WORLD_SIZE={text} processes", LAUNCH)
    return int(text)


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` has started; alone, do nothing.

    Args:
        device: `train.device` of the experiment, which decides how the processes talk: NCCL on GPUs, else gloo.

    Raises:
        ConfigError: the processes were not started by a launcher, do not find each other, or have no GPU each.
    """
    if is_parallel() or launched_processes() == 1:
        yield
        return
    backend = _choose_backend(device)
    finished = threading.Event()
    threading.Thread(target=_end_with, args=(os.getppid(), finished), daemon=True).start()
    try:
        dist.init_process_group(backend)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes of torchrun do not find each other: {first_line(error)}", LAUNCH) from None
    try:
        yield
    finally:
        finished.set()
        dist.destroy_process_group()


def _choose_backend(device: str) -> str:
    """Return the name of the backend; with NCCL every process gets its GPU."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"{launched_processes()} processes cannot share train.device={device}", "write train.device=cuda, or cpu"
        )
    if device == "cpu" or not torch.cuda.is_available():
        return "gloo"
    gpu = int(os.environ["LOCAL_RANK"])
    if gpu >= torch.cuda.device_count():
        raise ConfigError(
            f"process {gpu + 1} of this machine has no GPU: there are {torch.cuda.device_count()}",
            "start as many processes as there are GPUs (torchrun --nproc-per-node), or write train.device=cpu",
        )
    torch.cuda.set_device(gpu)
    return "nccl"


def _end_with(launcher: int, finished: threading.Event) -> None:
    """Save and end this process when its launcher has died: nobody else would stop it."""
    while os.getppid() == launcher:
        if finished.wait(LAUNCHER_CHECK_SECONDS):
            return
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os._exit(InterruptedRun.exit_code)


def in_first_process(action: Callable[[], object]) -> None:
    """Run an action in the first process alone, while the others wait; if it fails, all processes end.

    Raises:
        AscMrkdError: the error of the action; in the other processes one that refers to it.
    """
    failure: AscMrkdError | OSError | None = None
    if rank() == 0:
        try:
            action()
        except (AscMrkdError, OSError) as error:
            failure = error
    if failure is not None:
        is_any(True)
        raise failure
    if is_any(False):
        raise AscMrkdError("the first process has stopped", "look at its message")


def is_any(fact: bool) -> bool:
    """Return whether a fact is true in one of the processes; all of them have to ask."""
    if not is_parallel():
        return fact
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return bool(all_reduce_sum(torch.tensor(float(fact), device=device)).item())


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
    running = running_statistics(method)
    if not is_parallel() or not running:
        return
    mean = all_reduce_sum(torch.cat([tensor.flatten() for tensor in running])) / world_size()
    for tensor, part in zip(running, mean.split([tensor.numel() for tensor in running]), strict=True):
        tensor.copy_(part.view_as(tensor))


def running_statistics(method: nn.Module) -> list[Tensor]:
    """Return the running means and variances of the layers of batch normalisation."""
    layers = [layer for layer in method.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    return [tensor for layer in layers for tensor in (layer.running_mean, layer.running_var) if tensor is not None]


def share_of_loss(own: int, whole: int) -> float:
    """Return the factor on the mean loss of `own` rows with which the mean over the processes is that of the batch.

    >>> share_of_loss(5, 5)
    1.0
    """
    return own * world_size() / whole


def any_rank_stops(should_stop: Callable[[], bool], device: torch.device) -> Callable[[], bool]:
    """Return a function that is true in all processes soon after `should_stop` is in one of them, and from then on.

    On a GPU the processes exchange their answers in every STOP_CHECK_EVERY-th call alone.
    """
    if not is_parallel():
        return should_stop
    asked = 0
    stops = False

    def ask() -> bool:
        nonlocal asked, stops
        asked += 1
        if not stops and (device.type == "cpu" or asked % STOP_CHECK_EVERY == 0):
            stops = is_any(should_stop())
        return stops

    return ask
