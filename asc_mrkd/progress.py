"""Progress of long work: the protocol through which library functions report it, and the silent form."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Callable that opens one task and yields the function that counts finished units.

    >>> with no_progress("features", 2, "clips") as advance:
    ...     advance()
    ...     advance(1, "loss 0.53")
    """

    def __call__(self, title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Callable[..., None]]:
        """Open a task of `total` units (clips, steps, bytes), `done` of them finished before.

        The yielded function `advance(amount=1, note=None)` counts further units; the note, such as a loss, is shown
        behind the numbers until the next one.
        """
        ...


def titled(progress: Progress, prefix: str) -> Progress:
    """Return the progress with a prefix before the title of every task."""

    def with_prefix(title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Callable[..., None]]:
        return progress(f"{prefix}: {title}", total, unit, done)

    return with_prefix


def count_nothing(amount: int = 1, note: str | None = None) -> None:
    """Take the place of `advance` where nobody listens."""


@contextmanager
def no_progress(title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """Report nothing."""
    yield count_nothing
