"""Several seeds at once in one process: a thread each, over the same data on the same device."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import torch
from torch import nn

from asc_mrkd.dist import is_parallel
from asc_mrkd.errors import ConfigError, InterruptedRun

Training = Callable[[Callable[[], None], Callable[[], bool]], None]
"""Trains a seed, given what to call after each step and what says whether to stop."""


def require_fit(network: nn.Module, threads: int | None, device: torch.device, seeds: int) -> None:
    """Refuse what would not give every seed the numbers that it gets alone.

    Args:
        network: of each seed.
        threads: of each seed on a CPU; None if nobody said.
        device: of all of them.
        seeds: how many.

    Raises:
        ConfigError: dropout, whose draws all threads would share, a CPU whose threads nobody has counted, or several
            processes, whose threads would talk across each other.
    """
    if is_parallel():
        raise ConfigError("--together is for one process, and torchrun has started several", "train the seeds in turn")
    if any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in network.modules()):
        raise ConfigError("--together: seeds with dropout would draw from one generator", "train them without it")
    if device.type == "cpu" and threads is None:
        raise ConfigError(
            "--together on a CPU: the seeds share its cores, and the last digits depend on the threads of each",
            f"say how many: train.threads={max(1, torch.get_num_threads() // seeds)}",
        )


def all_at_once(trainings: Sequence[Training], on_step: Callable[[], None], should_stop: Callable[[], bool]) -> None:
    """Run every training, in threads if there are several; the first error stops the others at their next step."""
    if len(trainings) == 1:
        return trainings[0](on_step, should_stop)
    failed, lock = threading.Event(), threading.Lock()

    def count() -> None:
        with lock:
            on_step()

    with ThreadPoolExecutor(len(trainings)) as pool:
        futures = [pool.submit(run, count, lambda: failed.is_set() or should_stop()) for run in trainings]
        wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.done() and future.exception() for future in futures):
            failed.set()
    errors = [error for error in (future.exception() for future in futures) if error]
    for error in sorted(errors, key=lambda error: isinstance(error, InterruptedRun)):
        raise error
    return None
