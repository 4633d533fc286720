"""The restricted reader of pickled integer arrays: it runs nothing that a pickle asks for."""

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.errors import DataError, first_line

ALLOWED = {
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""Names in a pickle of integer arrays by numpy 1 and 2: raw bytes since protocol 4, buffers since protocol 5."""


def read_pickle(path: Path, hint: str = "") -> dict[str, Any]:
    """Read a pickled dict of integer arrays, numbers, bytes, texts and lists, written by Python 2 or 3.

    No name of the pickle is looked up and no call of it is made: calls are noted, and the arrays built from the notes.

    Returns:
        The dict; its keys are str, whatever they were.

    Raises:
        DataError: the file is missing, cut off, not a pickle of arrays, or names anything else; `hint` is passed on.
    """
    try:
        raw = path.read_bytes()
        _refuse_bomb(raw)
        # Texts of Python 2 stay bytes, so that 150 MB of pixels are not decoded and encoded again.
        values = _Notes(io.BytesIO(raw), encoding="bytes").load()
        if not isinstance(values, dict):
            raise pickle.UnpicklingError(f"it holds a {type(values).__name__} instead of a dict")
        return {text(key): _build(value) for key, value in values.items()}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", hint) from None
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is refused: {error}", hint) from None
    except Exception as error:  # damage can raise anything, the pickle module names no complete list
        raise DataError(f"{path} is damaged ({first_line(error)})", hint) from None


def text(value: Any) -> str:
    """Return a text that Python 2 may have written as bytes.

    >>> text(b"labels"), text("labels")
    ('labels', 'labels')
    """
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a text")
    return value


class _Call:
    """A call that a pickle asks for: its arguments, and the state for the result."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Notes(pickle.Unpickler):
    """Unpickles every allowed name as a new class that notes calls, and refuses all other names."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return type(name, (_Call,), {})


def _refuse_bomb(raw: bytes) -> None:
    """Refuse a memo index beyond the number of entries: the unpickler would fill its memory up to there."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
        if opcode.name in ("LONG_BINPUT", "PUT") and int(argument or 0) > number:
            raise pickle.UnpicklingError(f"its memo jumps to {argument}")


def _build(value: Any) -> Any:
    """Build the array or the bytes that a noted call describes; return any other value as it is."""
    if isinstance(value, type):
        raise pickle.UnpicklingError("it holds a class")
    if not isinstance(value, _Call):
        return value
    called = type(value).__name__
    if called == "encode":
        characters, encoding = value.arguments
        if text(encoding) != "latin1":
            raise pickle.UnpicklingError(f"it encodes bytes as {text(encoding)}")
        return characters.encode("latin1")
    if called == "_frombuffer":
        buffer, dtype, shape, order = value.arguments
        return np.frombuffer(buffer, _dtype(dtype)).reshape(shape, order=order)
    if called == "_reconstruct":
        _, start, _ = value.arguments
        if start != (0,):
            raise pickle.UnpicklingError("it makes an array before there is data for it")
        _, shape, dtype, fortran, buffer = value.state
        return np.frombuffer(_build(buffer), _dtype(dtype)).reshape(shape, order="F" if fortran else "C")
    raise pickle.UnpicklingError(f"it calls {called} for a value")


def _dtype(call: Any) -> np.dtype:
    """Return the integer type that a noted numpy.dtype call describes."""
    name = text(call.arguments[0])
    order = text(call.state[1])
    if type(call).__name__ != "dtype" or not re.fullmatch("[iu][1248]", name) or order not in set("<>|="):
        raise pickle.UnpicklingError(f"it holds an array of type {name}")
    return np.dtype(order + name)
