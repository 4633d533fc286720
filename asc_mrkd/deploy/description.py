"""The description in every file of a network: everything but the weights. It is read without torch."""

import base64
import binascii
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from asc_mrkd.errors import ConfigError, DamagedFileError, RunError, first_line
from asc_mrkd.features.filterbank import FrontendArrays, filter_ranges
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import checksum_file, has_its_checksum
from asc_mrkd.schema import Count, Schema, parse

KEY = "asc_mrkd"
"""Name of the description in the metadata of a file."""

MAX_INPUT = 2**28
"""Largest number of values of one input (1 GiB in float32)."""

BUILD_ERRORS = (TypeError, ValueError, RuntimeError, OverflowError, ArithmeticError, MemoryError, RecursionError)
"""Exceptions of code that is given values of other kinds and sizes than it was written for."""


class Architecture(Schema):
    """A network by name."""

    name: str
    num_classes: Count
    options: dict[str, Any]
    code: str | None = None
    """SHA-256 of the user's file that `name` is a function in; None for a network of this package."""

    def as_written(self) -> dict[str, Any]:
        """Return the values as a model file holds them."""
        return self.model_dump(exclude=None if self.code else {"code"})


class PackedArrays(Schema):
    """The arrays of a front end as text, so that a reader needs no library that computes them."""

    window: str
    offset: str
    starts: str
    """First bin of each filter."""
    counts: str
    """Number of bins of each filter."""
    factors: str
    """Factors of all filters, one after the other."""


class Description(Schema):
    """Everything in a model file except the weights; see `ModelFile`."""

    format: Literal[2]
    architecture: Architecture
    classes: Annotated[list[str], Field(min_length=1)]
    input_shape: Annotated[list[Count], Field(min_length=3, max_length=3)]
    mean: list[Any]
    std: list[Any]
    frontend: FrontendSpec | None
    dtype: Literal["float32", "float16"] = "float32"
    arrays: PackedArrays | None = None
    """Arrays of the front end; in .onnx files."""
    takes_samples: bool = False
    """Whether the graph takes samples and gives probabilities: it holds the front end and the normalisation."""

    @model_validator(mode="after")
    def _require_consistency(self) -> "Description":
        if len(set(self.classes)) != self.architecture.num_classes or len(self.classes) != len(set(self.classes)):
            raise ValueError(f"{len(self.classes)} class names for {self.architecture.num_classes} different classes")
        if prod(self.input_shape) > MAX_INPUT:
            raise ValueError(f"an input of {' x '.join(map(str, self.input_shape))} is too large")
        if self.frontend is not None and list(self.frontend.shape) != self.input_shape:
            shape = " x ".join(map(str, self.frontend.shape))
            raise ValueError(f"input_shape is {self.input_shape}, but the front end gives {shape}")
        for name in ("mean", "std"):
            values = as_statistics(getattr(self, name))
            if values is None or any(n not in (1, m) for n, m in zip(values.shape, self.input_shape, strict=True)):
                raise ValueError(f"{name} is not an array of finite numbers that fits the inputs")
            if name == "std" and not (values > 0).all():
                raise ValueError("std has values that are not positive")
        if self.frontend is None and (self.arrays is not None or self.takes_samples):
            raise ValueError("it has arrays of a front end, but no front end")
        if self.frontend is not None and self.arrays is not None:
            unpack_arrays(self.arrays, self.frontend)
        return self


def as_statistics(values: list[Any]) -> np.ndarray | None:
    """Return nested lists as a float32 array of three dimensions; None if they are not finite numbers in that form."""
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    is_usable = array.ndim == 3 and array.size and np.isfinite(narrow).all()
    return narrow if is_usable else None


def parse_description(description: Any, path: Path) -> Description:
    """Check the result of `describe` as it was read from a file.

    Raises:
        DamagedFileError: a value is missing, of the wrong kind, or does not agree with the others.
    """
    try:
        return parse(Description, description, f"{path}, description of the network")
    except (ConfigError, ValueError, TypeError, OverflowError) as error:  # numbers of FrontendSpec may be any
        hint = "it was not written by this version of asc-mrkd: train or export it again"
        message = str(error) if isinstance(error, ConfigError) else f"{path}: {first_line(error)}"
        raise DamagedFileError(message, hint) from None


def require_own_network(path: Path, content: bytes | None = None) -> None:
    """Refuse a network in a run folder that is not the one that was written there, such as that of another seed.

    Args:
        path: file of the network.
        content: its content, if it has been read; by default the file is read.

    Raises:
        RunError: the file has another checksum than the one next to it, or that one cannot be read.
    """
    if not has_its_checksum(path, content):
        name = checksum_file(path).name
        raise RunError(
            f"{path} is not the network that was written there, whose checksum is in {name}",
            f"restore that one, or repeat the command that made the run; without {name} any network is accepted",
        )


def pack_arrays(arrays: FrontendArrays) -> dict[str, str]:
    """Return the arrays of a front end as text."""
    starts, counts, factors = filter_ranges(arrays.filters)
    return {
        "window": _to_text(arrays.window, np.float32),
        "offset": _to_text(arrays.offset, np.float32),
        "starts": _to_text(starts, np.int32),
        "counts": _to_text(counts, np.int32),
        "factors": _to_text(factors, np.float32),
    }


def unpack_arrays(packed: PackedArrays, spec: FrontendSpec) -> FrontendArrays:
    """Return the arrays of a front end from their text.

    Raises:
        ValueError: the text is not that of finite arrays that fit the front end.
    """
    window = _from_text(packed.window, np.float32)
    offset = _from_text(packed.offset, np.float32)
    starts = _from_text(packed.starts, np.int32)
    counts = _from_text(packed.counts, np.int32)
    factors = _from_text(packed.factors, np.float32)
    bins = spec.n_fft // 2 + 1
    fits = len(window) == spec.n_fft and len(offset) == len(starts) == len(counts) == spec.n_mels
    if not fits or starts.min() < 0 or counts.min() < 1 or (starts.astype(np.int64) + counts).max() > bins:
        raise ValueError("the arrays of the front end do not fit its definition")
    if counts.sum() != len(factors) or not all(np.isfinite(part).all() for part in (window, offset, factors)):
        raise ValueError("the arrays of the front end do not fit its definition")
    filters = np.zeros((spec.n_mels, bins), np.float32)
    position = 0
    for row, start, count in zip(filters, starts, counts, strict=True):
        row[start : start + count] = factors[position : position + count]
        position += count
    return FrontendArrays(window, filters, offset[:, None])


def _to_text(array: np.ndarray, dtype: type) -> str:
    return base64.b64encode(array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def _from_text(text: str, dtype: type) -> np.ndarray:
    try:
        content = base64.b64decode(text, validate=True)
        return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the arrays of the front end cannot be read: {error}") from None
