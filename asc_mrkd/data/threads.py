"""Tasks in threads that end with the command: a connection that stalls must not hold up Ctrl-C."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Thread

Ended = tuple[int, Exception | None]
"""The number of a task that has ended, and its error."""

PATIENCE = 0.5
"""Seconds that a thread has to end after Ctrl-C."""


@contextmanager
def in_threads(tasks: Sequence[Callable[[], None]], jobs: int, stop: Event) -> Iterator[Iterator[Ended]]:
    """Run tasks in order, `jobs` at a time, and give their numbers and errors as they end.

    Args:
        tasks: what to run.
        jobs: how many at a time.
        stop: set when the block is left; tasks that run should look at it, and no other task begins.
    """
    todo, done = SimpleQueue[int](), SimpleQueue[Ended]()
    for number in range(len(tasks)):
        todo.put(number)
    threads = [Thread(target=_work, args=(tasks, todo, done, stop), daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    patience = None
    try:
        yield (done.get() for _ in tasks)
    except KeyboardInterrupt:
        patience = PATIENCE
        raise
    finally:
        stop.set()
        for thread in threads:
            thread.join(patience)


def _work(
    tasks: Sequence[Callable[[], None]], todo: "SimpleQueue[int]", done: "SimpleQueue[Ended]", stop: Event
) -> None:
    while not stop.is_set():
        try:
            number = todo.get_nowait()
        except Empty:
            return
        try:
            tasks[number]()
        except Exception as error:
            done.put((number, error))
        else:
            done.put((number, None))
