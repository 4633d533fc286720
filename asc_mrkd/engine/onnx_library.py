"""The libraries of the extra `deploy`: imported when they are needed, and kept from talking about themselves."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from asc_mrkd.errors import MissingExtraError, first_line


def require(purpose: str, *libraries: str) -> list[Any]:
    """Import libraries of the extra `deploy`.

    Raises:
        MissingExtraError: one is not installed.
    """
    try:
        return [import_module(name) for name in libraries]
    except ImportError as error:
        names = " and ".join(dict.fromkeys(name.partition(".")[0] for name in libraries))
        raise MissingExtraError(
            f"{purpose} needs {names}: {first_line(error)}", "pip install 'asc-mrkd[deploy]'"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of exporter and quantiser, which are about themselves, from the screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
