"""Random draws keyed by their purpose: there is no state to save, and a restart changes nothing."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def generator(purpose: str, *numbers: int) -> np.random.Generator:
    """Return a generator that depends on the purpose and the numbers (seed, epoch, step, ...) alone.

    >>> generator("order", 0, 3).integers(100) == generator("order", 0, 3).integers(100)
    np.True_
    """
    seed = np.random.SeedSequence([zlib.crc32(purpose.encode()), *numbers])
    return np.random.Generator(np.random.Philox(seed))


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Build layers on the CPU with initial weights drawn from a seed; the generators of torch stay as they were.

    `torch.manual_seed` would also seed those of the GPUs, from which the dropout of a training draws.
    """
    import torch

    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
