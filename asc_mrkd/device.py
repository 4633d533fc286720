"""The device that computes, the CPU or a GPU: its choice, its abilities, its threads and its random numbers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from asc_mrkd.errors import ConfigError, first_line


def choose_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the GPU if there is one, else the CPU.

    Raises:
        ConfigError: the device does not exist.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device without storage, such as meta, cannot give a number back
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"device={name}: {first_line(error)}", "asc-mrkd doctor") from None
    return device


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
