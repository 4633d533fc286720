"""Folders and the system's errors, for tests of files and locks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def names_in(folder: Path) -> set[str]:
    """Return the names of everything directly in a folder."""
    return {path.name for path in folder.iterdir()}


def refusing(
    number: int, when: Callable[..., bool] = lambda *arguments: True, otherwise: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return a stand-in for a function of the system that raises its error `number`.

    Args:
        number: error number, as in `errno`.
        when: decides by the arguments of a call whether it fails; by default every call does.
        otherwise: function that the other calls go to.
    """

    def refuse(*arguments):
        if when(*arguments):
            raise OSError(number, os.strerror(number), str(arguments[0]))
        return otherwise(*arguments)

    return refuse
