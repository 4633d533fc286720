"""Checkpoints of a seed: the last one and the one before it, each whole and marked with the training it belongs to."""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from asc_mrkd.config import Experiment, decisive_settings
from asc_mrkd.deploy.model_file import digest
from asc_mrkd.dist import rank, world_size
from asc_mrkd.errors import DamagedFileError, RunError, first_line, shell_command
from asc_mrkd.files import atomic_writer, sync_folder
from asc_mrkd.runs import SeedFolder


def owner_of(experiment: Experiment, seed: int) -> dict[str, Any]:
    """Return everything that decides the bits of a training, by name: what a checkpoint belongs to.

    Args:
        experiment: experiment with the digest of its data.
        seed: seed of the training.
    """
    return {"seed": seed, "processes": world_size(), **decisive_settings(experiment)}


class Checkpoints:
    """The last checkpoint of a seed and the one before it.

    Args:
        files: files of the seed.
        owner: training that they belong to, from `owner_of`.
    """

    def __init__(self, files: SeedFolder, owner: Mapping[str, Any]) -> None:
        self.last = files.checkpoint
        self.previous = files.previous_checkpoint
        self.owner = dict(owner)
        self.last_is_damaged = False

    def restore(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Hand the last whole state to `take`; without a checkpoint do nothing.

        A damaged last checkpoint is replaced by the one before it, with a warning.

        Raises:
            RunError: the checkpoint belongs to another training, which is named.
            DamagedFileError: no checkpoint is whole.
        """
        found = [path for path in (self.last, self.previous) if path.exists()]
        for path in found:
            try:
                saved = load_checkpoint(path)
                self._require_owner(saved["owner"], path)
                _hand_over(saved["state"], take, path)
            except DamagedFileError as error:
                self.last_is_damaged |= path == self.last
                if path == found[-1]:
                    command = shell_command("rm", *found)
                    raise DamagedFileError(str(error), f"remove it to start this seed again: {command}") from None
                if rank() == 0:
                    warnings.warn(f"{error}; {self.previous.name}, the one before it, is used", stacklevel=2)
                continue
            return

    def save(self, state: dict[str, Any]) -> None:
        """Write a state; the last checkpoint becomes the previous one. A kill or a full disk leaves both as they are.

        Raises:
            DiskFullError: the disk is full.
        """
        saved = {"owner": self.owner, "state": state}
        new = self.last.with_name("checkpoint.new.pt")
        with atomic_writer(new) as stream:
            torch.save({**saved, "sha256": digest(saved)}, stream)
        if self.last.exists() and not self.last_is_damaged:
            os.replace(self.last, self.previous)
        os.replace(new, self.last)
        self.last_is_damaged = False
        sync_folder(self.last.parent)

    def _require_owner(self, owner: Mapping[str, Any], path: Path) -> None:
        command = shell_command("rm", self.last, self.previous)
        hint = f"bring its own checkpoint back, or start this seed again: {command}"
        for name in dict.fromkeys([*self.owner, *owner]):
            found = owner.get(name)
            expected = self.owner.get(name)
            if found == expected:
                continue
            if name == "processes" and found != 1:
                hint = f"torchrun --nproc-per-node {found} -m asc_mrkd train ...; {hint}"
            raise RunError(
                f"checkpoint {path} is of another training: {name} is {found!r} in it and {expected!r} here", hint
            )


def _hand_over(state: dict[str, Any], take: Callable[[dict[str, Any]], None], path: Path) -> None:
    """Call `take`; a state that it cannot take is damage."""
    try:
        take(state)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DamagedFileError(f"checkpoint {path} is damaged: {first_line(error)}") from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: its `owner` and its `state`; nothing in it can execute.

    Raises:
        DamagedFileError: the file is not whole, or does not say whose it is; nothing in it is used.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        expected = saved.pop("sha256")
        found = digest(saved)
    except Exception as error:  # the kind of damage decides the type
        raise DamagedFileError(f"checkpoint {path} is damaged: unreadable, {type(error).__name__}") from None
    if found != expected:
        raise DamagedFileError(f"checkpoint {path} is damaged: its content does not have its checksum")
    if not isinstance(saved.get("owner"), dict) or not isinstance(saved.get("state"), dict):
        raise DamagedFileError(f"checkpoint {path} is damaged: it does not say what it belongs to")
    return saved
