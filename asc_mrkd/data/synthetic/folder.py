"""What every built-in data set does with its folder: mark it, and make the files that are missing."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from asc_mrkd.cores import CORES
from asc_mrkd.errors import ConfigError, DataError
from asc_mrkd.files import write_text

BATCH = 64
"""Most files that a process takes at a time."""


def check_range(name: str, value: int | None, least: int, most: int | None = None) -> None:
    """Raise ConfigError, naming the option, unless `value` is None or within `least` ... `most`."""
    if value is None:
        return
    if value < least:
        raise ConfigError(f"{name} is {value}, it must be at least {least}", f"--{name} {least}")
    if most is not None and value > most:
        raise ConfigError(f"{name} is {value}, it must be at most {most}", f"--{name} {most}")


def claim(folder: Path, readme: str) -> None:
    """Mark the folder as the data set that `readme` describes.

    Raises:
        DataError: it holds anything else.
    """
    marker = folder / "README.md"
    if folder.exists() and any(folder.iterdir()) and not (marker.is_file() and marker.read_bytes() == readme.encode()):
        raise DataError(f"{folder} already holds another data set", "choose another folder, or remove this one first")
    write_text(marker, readme)


def make_missing(
    paths: list[Path],
    make: Callable[[Path], None],
    workers: int | None,
    on_file: Callable[[], None],
    is_whole: Callable[[Path], bool] = Path.is_file,
) -> None:
    """Call `make` for the paths that are not whole, in `workers` processes; `on_file` counts every file there is."""
    missing = [path for path in paths if not is_whole(path)]
    for _ in range(len(paths) - len(missing)):
        on_file()
    if not missing:
        return
    workers = min(workers or CORES, len(missing))
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(make, missing, chunksize=min(BATCH, -(-len(missing) // (4 * workers)))):
            on_file()
