"""The origin of a store of own recordings, as the extraction has noted it; read without an audio library."""

from pathlib import Path
from typing import Any

from asc_mrkd.errors import StoreError
from asc_mrkd.texts import read_yaml

ORIGIN = "origin.yaml"
"""File of a store that says where its clips come from and what was done with them, for people and reports."""


def read_origin(folder: Path) -> dict[str, Any]:
    """Return what `preparation.write_origin` has written; empty for the store of an official data set.

    Raises:
        ConfigError, StoreError: the file is damaged.
    """
    if not (folder / ORIGIN).exists():
        return {}
    hint = "remove it: it is for people only"
    values = read_yaml(folder / ORIGIN, hint)
    if not isinstance(values.get("done"), list):
        raise StoreError(f"{folder / ORIGIN} is damaged", hint)
    return values
