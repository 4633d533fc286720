"""The exceptions of the package: a message names the fault and its place, a hint the next thing to type."""

import difflib
import errno
import os
import reprlib
import shlex
from collections.abc import Collection, Iterable
from typing import Any

SHOWN = 12
"""Largest number of names in a hint."""

LONGEST = 1000
"""Longest message, in characters: what it repeats of a file may be anything."""

LONGEST_SHOWN = 160
"""Longest value in a message, in characters."""

DISK_FULL = {
    errno.ENOSPC: ("the disk is full", "make room (df -h)"),
    errno.EDQUOT: ("the disk quota is used up", "make room (quota -s)"),
    errno.EFBIG: ("it would exceed the largest size of a file", "raise the limit (ulimit -f unlimited)"),
}
"""Fault and remedy for each error of the system that says: there is no room."""


class AscMrkdError(Exception):
    """Base of every error that a user can meet.

    Args:
        message: the fault and its place (file, line, key); of a very long one the middle is left out.
        hint: the next thing to type or to look at; may be empty.
    """

    exit_code = 2
    """Exit code of the command line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(_without_middle(message))
        self.hint = _without_middle(hint)


def _without_middle(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


class ConfigError(AscMrkdError):
    """An experiment file, a specification or an override does not fit the schema."""


class DataError(AscMrkdError):
    """A data set folder, a list or a label does not follow the layout."""


class DownloadError(AscMrkdError):
    """A published file could not be downloaded completely."""


class AudioError(DataError):
    """One recording cannot be used; `reason` is its code (see asc_mrkd.audio.reasons.REASONS)."""

    def __init__(self, message: str, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class StoreError(AscMrkdError):
    """A feature store is missing, incomplete, locked or made with another specification."""


class RunError(AscMrkdError):
    """A run folder is missing, incomplete, or belongs to another experiment."""


class DamagedFileError(AscMrkdError):
    """A checkpoint or model file is damaged; nothing of it is used."""


class DiskFullError(AscMrkdError):
    """No room for a file: the disk is full, the quota is used up, or the size of files is limited."""


class ModelError(AscMrkdError):
    """The name of a network or one of its options is unknown, or its input does not fit."""


class BudgetError(AscMrkdError):
    """A network exceeds the limits of a rule."""

    exit_code = 1


class MissingExtraError(AscMrkdError):
    """An optional library is not installed; the hint names the extra with it."""


class SubmissionError(AscMrkdError):
    """A submission cannot be made from the given runs."""


class NonFiniteError(AscMrkdError):
    """A loss, a weight or a prediction is NaN or infinite; the last good weights are kept."""


class InterruptedRun(AscMrkdError):
    """Work was interrupted after its state was saved; the same command continues."""

    exit_code = 3


def no_room(path: str | os.PathLike[str], number: int, size: str = "") -> DiskFullError:
    """Return the error for a file that there is no room for.

    Args:
        path: the file.
        number: error number of the system, one of DISK_FULL.
        size: what is missing or needed, in words.
    """
    fault, remedy = DISK_FULL[number]
    message = ", ".join(part for part in (fault, size) if part)
    return DiskFullError(f"{path} cannot be written: {message}", f"{remedy}; an older version of the file is unchanged")


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an error of another library, for a message.

    >>> first_line(OSError("no such symbol\\nlong story"))
    'OSError: no such symbol'
    """
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def shorten(text: str) -> str:
    """Return a text as messages show it: its first LONGEST_SHOWN characters."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def shown(value: Any) -> str:
    """Return a value as messages show it: of a large one the beginning, however deep it is.

    >>> shown([1, "a"]), len(shown("9" * 10_000)) < 200
    ("[1, 'a']", True)
    """
    short = reprlib.Repr()
    short.maxstring = LONGEST_SHOWN
    short.maxother = LONGEST_SHOWN
    return shorten(short.repr(value))


def shell_command(*words: object) -> str:
    """Write a command that can be pasted into a shell, for a message or a hint; words with blanks are quoted.

    >>> shell_command("asc-mrkd", "evaluate", "exp/my run")
    "asc-mrkd evaluate 'exp/my run'"
    """
    return shlex.join(map(str, words))


def require_known(name: str, known: Collection[str], noun: str) -> None:
    """Refuse a name that is not among the known ones.

    Args:
        name: the name as the user wrote it.
        known: all names that exist.
        noun: kind of the name, such as `rule` or `tflite precision`.

    Raises:
        ConfigError: the name is unknown; the hint suggests one.
    """
    if name not in known:
        raise ConfigError(f"there is no {noun} '{shorten(name)}'", suggest(name, known))


def require_bool(value: object, name: str) -> None:
    """Refuse a word where True or False is meant: any text would count as True, "no" as well.

    Args:
        value: the argument as the user gave it; 0, 1 and the truth values of numpy are fine.
        name: name of the argument.

    Raises:
        ConfigError: with the argument and its value.
    """
    if value not in (True, False):
        raise ConfigError(f"{name}={value!r} is neither True nor False", f"write {name}=True or {name}=False")


def list_of(values: Any, name: str) -> list[Any]:
    """Return an argument with several values as a list; refuse a single one, such as a text, a list of characters.

    Args:
        values: the argument as the user gave it.
        name: name of the argument.

    Raises:
        ConfigError: with the argument and its value.

    >>> list_of(("exp/ce", "exp/mrkd"), "runs")
    ['exp/ce', 'exp/mrkd']
    """
    if isinstance(values, str | os.PathLike) or not isinstance(values, Iterable):
        raise ConfigError(f"{name}={values!r} is a single value, not a list", f"write {name}=[{values!r}]")
    return list(values)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown name: the probable meaning, or the known names; "" if there are none.

    >>> suggest("pmel265", ["pmel256"]), suggest("x", ["a", "b"]), suggest("x", [])
    ("did you mean 'pmel256'?", 'known: a, b', '')
    """
    names = list(known)
    if not names:
        return ""
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
