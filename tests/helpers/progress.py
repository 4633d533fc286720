"""A progress that records what it was told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RecordedProgress:
    """A `Progress`; `tasks` lists title, total, unit and units done before of each task, and all its advances."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, str, int, list[int]]] = []

    @contextmanager
    def __call__(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
        """Open a task."""
        advances: list[int] = []
        self.tasks.append((title, total, unit, done, advances))
        yield lambda amount=1, note=None: advances.append(amount)
