"""The device of a run, its threads, and the signals that stop it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def gpu_name() -> str | None:
    """Return the name of the first GPU; None without one."""
    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the device computes bfloat16 in hardware (tensor cores, or AVX-512 BF16)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def seed_generator(seed: int, device: torch.device) -> None:
    """Seed the generator from which dropout inside a network draws on a device.

    On a CPU, `torch.manual_seed` would spend half a millisecond on the generators of absent GPUs.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def unseeded(device: torch.device) -> AbstractContextManager[None]:
    """Return a block after which torch's global generators, of the CPU and of that device, are as they were before."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


@contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Compute with `count` threads on the CPU; None leaves the number of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Signal of a terminal that is closed; Windows has none."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))
"""Signals that ask a training to save and stop."""


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether one of STOP_SIGNALS has come; a second signal acts at once.

    A hangup that was ignored before, as under nohup, stays ignored. A signal that is not handled by Python, as where it
    runs inside another program, is left alone.
    """
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before: dict[signal.Signals, Any] = {}
    for number in STOP_SIGNALS:
        handler = signal.getsignal(number)
        is_ignored_hangup = number == HANGUP and handler is signal.SIG_IGN
        if handler is not None and not is_ignored_hangup:
            before[number] = handler
    try:
        for number in before:
            signal.signal(number, remember)
    except ValueError:  # not the main thread, which alone may handle signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
