"""The device of a run and what it is good at."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def gpu_name() -> str | None:
    """Return the name of the first GPU; None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the device computes bfloat16 in hardware (tensor cores, or AVX-512 BF16 and AMX)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


@contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads on the CPU; None leaves torch's number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Queue the work of this thread on a stream of its own, so that threads do not wait for each other on a GPU."""
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


@contextmanager
def politely_interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an answer `True`; the second one acts at once."""
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, remember)
    except ValueError:  # not the main thread: the caller looks after signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
