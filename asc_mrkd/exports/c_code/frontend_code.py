"""frontend.c and frontend.h, a front end as tables and plain loops, and main.c, the program around the network."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asc_mrkd.audio.read import SECONDS_TOLERANCE
from asc_mrkd.errors import ConfigError
from asc_mrkd.exports.c_code.text import CodeSize, array_text, fill_in, float_text, read_part
from asc_mrkd.features.filterbank import AMIN, DB_PER_NEPER, FrontendArrays, filter_ranges
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import write_text

RGB = 3
"""Channels of a PPM file."""

LARGEST_TRANSFORM = 2**15
"""Largest n_fft whose bins can be numbered in 16 bits."""

LOUDEST = """    float loudest;
    int frame, k;
    loudest = -3e38f;
    for (frame = 0; frame < FRONTEND_FRAMES; frame++) {
        compute_spectrum(samples, frame);
        for (k = 0; k < BINS; k++)
            if (spectrum[k] > loudest)
                loudest = spectrum[k];
    }
    return loudest;"""

NO_LOUDEST = """    (void)samples;
    return 0.0f;"""

FLOOR = """    for (k = 0; k < BINS; k++)
        if (spectrum[k] < loudest - {depth})
            spectrum[k] = loudest - {depth};"""

NO_FLOOR = "    (void)loudest;"

TWO_PASSES = "The floor lies below the maximum of the whole clip: the clip is transformed twice, once here."
ONE_PASS = "This definition has no floor: the value is not used."


def write_frontend(
    folder: Path, spec: FrontendSpec, arrays: FrontendArrays, mean: np.ndarray, std: np.ndarray
) -> CodeSize:
    """Write frontend.c and frontend.h, and main.c, a program that reads a WAV file and prints the classes.

    Args:
        folder: existing folder.
        spec: definition of the front end.
        arrays: its window, filters and offset.
        mean: mean of the features, (channel or 1, mel or 1, 1).
        std: deviation of the features, shaped as `mean`.

    Returns:
        The size of its tables and of its static memory, without the samples of the clip.

    Raises:
        ConfigError: the length of the transform is too large or not a power of two, or the statistics differ from frame
            to frame.
    """
    require_frontend(spec, mean, std)
    tables = frontend_tables(spec, arrays, mean, std)
    write_text(folder / "frontend.c", code_text(spec, tables, mean))
    write_text(folder / "frontend.h", header_text(spec))
    write_text(folder / "main.c", fill_in("main.c.in", shared=read_part("main_shared.c")))
    flash = sum(values.size * (4 if kind == "float" else 2) for values, kind in tables.values())
    column = spec.n_mels
    spectrum = spec.n_fft // 2 + 1
    transform = 2 * (spec.n_fft // 2)
    return CodeSize(flash, 4 * (column + spectrum + transform))


def write_picture_reader(folder: Path, channels: int, mean: np.ndarray, std: np.ndarray) -> CodeSize:
    """Write main.c, a program that reads a PPM file, normalises it and prints the classes.

    Args:
        folder: existing folder.
        channels: number of channels of a picture.
        mean: mean of the pixels, (channel or 1, 1, 1).
        std: deviation of the pixels, shaped as `mean`.

    Raises:
        ConfigError: the pictures do not have three channels, or the statistics differ from pixel to pixel.
    """
    require_pictures(channels, mean, std)
    code = fill_in(
        "main_picture.c.in",
        shared=read_part("main_shared.c"),
        mean=array_text("mean", mean, "float"),
        deviation=array_text("deviation", std, "float"),
        statistics_channels=len(mean),
    )
    write_text(folder / "main.c", code)
    return CodeSize(4 * (mean.size + std.size), 0)


def require_frontend(spec: FrontendSpec, mean: np.ndarray, std: np.ndarray) -> None:
    """Refuse a front end that the C code cannot compute.

    Raises:
        ConfigError: as from `write_frontend`.
    """
    _require_same_everywhere(mean, std, mean.shape[2:])
    if not 4 <= spec.n_fft <= LARGEST_TRANSFORM or spec.n_fft & (spec.n_fft - 1):
        raise ConfigError(
            f"front end {spec.name}: n_fft {spec.n_fft} is not a power of two from 4 to {LARGEST_TRANSFORM:,}, "
            "as the C code needs it",
            "change n_fft and keep win_length, or export with --to onnx --with-frontend",
        )


def require_pictures(channels: int, mean: np.ndarray, std: np.ndarray) -> None:
    """Refuse pictures that the C code cannot read or normalise.

    Raises:
        ConfigError: as from `write_picture_reader`.
    """
    if channels != RGB:
        raise ConfigError(
            f"the network takes pictures with {channels} channel(s), and the C code reads those with {RGB}",
            "export with --to onnx",
        )
    _require_same_everywhere(mean, std, mean.shape[1:])


def _require_same_everywhere(mean: np.ndarray, std: np.ndarray, places: tuple[int, ...]) -> None:
    """Refuse statistics with more than one value per channel or band; `places` are the sizes of their other axes."""
    if set(places) != {1} or std.shape != mean.shape:
        raise ConfigError(
            "the mean differs from place to place, which the C code does not support", "export with --to onnx"
        )


def frontend_tables(
    spec: FrontendSpec, arrays: FrontendArrays, mean: np.ndarray, std: np.ndarray
) -> dict[str, tuple[np.ndarray, str]]:
    """Return the tables of frontend.c and the types of their values, by name."""
    starts, counts, factors = filter_ranges(arrays.filters)
    angles = 2 * np.pi * np.arange(spec.n_fft // 2) / spec.n_fft
    return {
        "window": (arrays.window, "float"),
        "cosine": (np.cos(angles), "float"),
        "sine": (np.sin(angles), "float"),
        "starts": (starts, "short"),
        "counts": (counts, "short"),
        "factors": (factors, "float"),
        "offset": (arrays.offset, "float"),
        "mean": (mean, "float"),
        "deviation": (std, "float"),
    }


def code_text(spec: FrontendSpec, tables: Mapping[str, tuple[np.ndarray, str]], mean: np.ndarray) -> str:
    """Return frontend.c."""
    if spec.top_db is None:
        loudest = NO_LOUDEST
        floor = NO_FLOOR
    else:
        loudest = LOUDEST
        floor = FLOOR.format(depth=float_text(spec.top_db / DB_PER_NEPER))
    return fill_in(
        "frontend.c.in",
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        scale_name=_scale_name(spec),
        scale_of_power=_scale_of_power(spec),
        scale_of_band="total" if spec.log_offset is None else f"logf(total + {float_text(spec.log_offset)})",
        loudest=loudest,
        floor=floor,
        statistics_channels=mean.shape[0],
        statistics_bands=mean.shape[1],
        **{name: array_text(name, values, kind) for name, (values, kind) in tables.items()},
    )


def header_text(spec: FrontendSpec) -> str:
    """Return frontend.h."""
    tolerance = max(spec.pad_or_trim, SECONDS_TOLERANCE) * spec.sample_rate
    return fill_in(
        "frontend.h.in",
        sample_rate=spec.sample_rate,
        channels=spec.channels,
        samples=spec.samples,
        tolerance=math.floor(tolerance + 1e-6),  # a product of reals may lie just below a whole number
        bands=spec.n_mels,
        frames=spec.frames,
        definition=f"{spec.name}: {spec.description}".replace("*/", "* /").replace("/*", "/ *"),
        floor_note=ONE_PASS if spec.top_db is None else TWO_PASSES,
    )


def _scale_name(spec: FrontendSpec) -> str:
    if spec.scale == "perceptual_db":
        return "natural logarithm of the power"
    return "power" if spec.power == 2 else "magnitude"


def _scale_of_power(spec: FrontendSpec) -> str:
    if spec.scale == "perceptual_db":
        least = float_text(AMIN)
        return f"logf(power < {least} ? {least} : power)"
    return "power" if spec.power == 2 else "sqrtf(power)"
