"""Networks and methods in Python files of the user, which are run because the user names them, and for no other reason.

An experiment names `file.py:name`. A model file only says which code its network needs: that is not run before the
user has allowed that very file.
"""

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from asc_mrkd.errors import AscMrkdError, ConfigError, first_line, shell_command, suggest

OWN_CODE = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
"""A function or a class in a Python file."""

MODULE = "_own_"
"""Start of the name under which a file of the user is a module."""

_allowed: dict[str, Path] = {}
"""Files that may be run for a model file, by the SHA-256 of their content."""


@dataclass(frozen=True)
class OwnCode:
    """A function or a class in a Python file."""

    file: Path
    name: str
    """Name of the function or class."""

    @property
    def label(self) -> str:
        """File and name, without the folder."""
        return f"{self.file.name}:{self.name}"


def parse_own(text: str) -> OwnCode | None:
    """Return the function or class that a text names; None if it does not have that form.

    >>> parse_own("nets/my_net.py:build")
    OwnCode(file=PosixPath('nets/my_net.py'), name='build')
    >>> parse_own("cp_resnet") is None
    True
    """
    found = OWN_CODE.fullmatch(text)
    return OwnCode(Path(found["file"]), found["name"]) if found else None


def code_digest(file: Path) -> str:
    """Return the SHA-256 of a Python file, hexadecimal.

    Raises:
        ConfigError: there is no such file.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError):  # a NUL in the name
        raise ConfigError(f"there is no file {file}", "write file.py:name, with the path of the file") from None


def allow_code(file: str | Path) -> None:
    """Allow that a Python file is run where a model file needs the network in it.

    Args:
        file: the file that the network was trained with, with the same content.

    Raises:
        ConfigError: there is no such file.

    Example:
        ```python
        asc_mrkd.allow_code("my_net.py")
        predictor = asc_mrkd.Predictor("exp/mine")
        ```
    """
    _allowed[code_digest(Path(file))] = Path(file)


def find_allowed(digest: str, label: str) -> OwnCode:
    """Return the code that a model file needs, if the user has allowed it.

    Args:
        digest: SHA-256 of the Python file.
        label: name of the file and of the function in it, as in `my_net.py:build`.

    Raises:
        ConfigError: the file was not allowed, or has another content.
    """
    name, _, function = label.partition(":")
    if digest in _allowed and code_digest(_allowed[digest]) == digest:  # it may have been edited since
        return OwnCode(_allowed[digest], function)
    if any(file.name == name for file in _allowed.values()):
        raise ConfigError(
            f"{name} has another content than when its network was trained",
            f"bring back the file with the SHA-256 {digest[:12]}..., or train again",
        )
    raise ConfigError(
        f"its network is made by {label}, which is not in the model file and not run unless you name it",
        f"{shell_command('asc-mrkd', '--code', name)} VERB ..., or asc_mrkd.allow_code({name!r})",
    )


def load_own(code: OwnCode, hint: str) -> Any:
    """Run a file and return the function or class in it.

    Raises:
        ConfigError: the file is missing, it fails, or it has nothing of that name.
    """
    digest = code_digest(code.file)
    try:
        module = run_file(code.file.resolve(), digest)
    except AscMrkdError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{code.file} failed: {first_line(error)}", hint) from error
    if not hasattr(module, code.name):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(f"{code.file} has no {code.name}", suggest(code.name, names) or hint)
    return getattr(module, code.name)


@cache
def run_file(file: Path, digest: str) -> ModuleType:
    """Run a Python file, once for each content, and return it as a module.

    Raises:
        ImportError: the file cannot be imported; and whatever it raises itself.
    """
    name = f"{MODULE}{file.stem}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does; dataclasses look themselves up there
    try:
        with importable(file.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def place_in_own_code(error: BaseException) -> str:
    """Return the file of the user and the line in it that an error went through last; "" if it went through none."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(MODULE):
            place = f"{frame.f_code.co_filename}, line {line}"
    return place


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let files import their neighbours in a folder, as when they are run."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
