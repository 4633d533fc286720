"""Checkpoints: written and loaded whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from asc_mrkd.deploy.model_file import digest
from asc_mrkd.errors import DamagedFileError
from asc_mrkd.files import atomic_writer


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` with its checksum; a kill or a full disk leaves the previous file."""
    with atomic_writer(path) as stream:
        torch.save({"state": state, "sha256": digest(state)}, stream)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it can execute.

    Raises:
        DamagedFileError: the file is not whole; nothing in it is used.
    """
    hint = f"remove it to start this seed again: rm '{path}'"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state = saved["state"]
    except Exception as error:  # the kind of damage decides the type
        raise DamagedFileError(f"checkpoint {path} is damaged: unreadable, {type(error).__name__}", hint) from None
    if digest(state) != saved.get("sha256"):
        raise DamagedFileError(f"checkpoint {path} is damaged: its content does not have its checksum", hint)
    return state
