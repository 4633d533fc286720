"""Size and time of the recordings of a store, by which a later extraction finds those that were replaced."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from asc_mrkd.files import write_text

SOURCES = "recordings.txt"
"""File of a store: a line per recording with its size (bytes), the time of its last change (ns) and its name."""

LINE = re.compile(r"([0-9]+) (-?[0-9]+) (.+)")

State = tuple[str, str]
"""Size (bytes) and time of the last change (ns) of a file."""


def list_sources(root: Path, names: Iterable[str]) -> dict[str, State]:
    """Return the states of the recordings that exist below `root`, by their names."""
    states = {}
    for name in names:
        try:
            status = os.stat(root / name)
        except OSError:  # it is missing, or its disk is not there
            continue
        states[name] = (str(status.st_size), str(status.st_mtime_ns))
    return states


def read_sources(folder: Path) -> dict[str, State]:
    """Return the states that the recordings of a store had before they were read; damaged lines are left out.

    A store of an earlier version has no such file: nothing is known of its recordings.
    """
    if not (folder / SOURCES).exists():
        return {}
    text = (folder / SOURCES).read_text(encoding="utf-8", errors="replace")
    lines = [match for match in map(LINE.fullmatch, text.split("\n")) if match]
    return {line[3]: (line[1], line[2]) for line in lines}


def find_replaced(folder: Path, known: dict[str, State], states: dict[str, State]) -> set[str]:
    """Name the recordings of `states` that were not so when they were read into the store, as far as it knows.

    Args:
        folder: folder of the store.
        known: states from `read_sources`.
        states: states of the recordings now.
    """
    if not (folder / SOURCES).exists():
        return set()
    return {name for name, state in states.items() if known.get(name) != state}


def write_sources(folder: Path, states: dict[str, State]) -> None:
    """Write the states of recordings; before they are read, so that a later change is found."""
    write_text(folder / SOURCES, "".join(f"{size} {time} {name}\n" for name, (size, time) in states.items()))
