"""The built-in scenes as a folder with the names, lists and file format of an official data set."""

import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import soundfile as sf

from asc_mrkd import __version__
from asc_mrkd.datasets.dcase import META_COLUMNS
from asc_mrkd.datasets.dcase import SCENES as COARSE
from asc_mrkd.datasets.synthetic.scenes import FRAMES, SCENES, render_clip
from asc_mrkd.datasets.synthetic.signals import RATE
from asc_mrkd.errors import ConfigError, DataError, suggest
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.workers import available_cores, local_pool, map_in_order

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
    workers = min(workers or available_cores(), len(missing))
    size = min(BATCH, math.ceil(len(missing) / (4 * workers)))
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    for _ in map_in_order(local_pool(workers), partial(_make_batch, make), batches, on_crash=_give_up):
        on_file()


def _make_batch(make: Callable[[Path], None], paths: Sequence[Path]) -> list[bool]:
    for path in paths:
        make(path)
    return [True] * len(paths)


def _give_up(path: Path) -> bool:
    raise DataError(f"{path}: the process that makes it died or took too long", "the same command goes on from here")


@dataclass(frozen=True)
class Layout:
    """How an official data set is laid out."""

    title: str
    folder: str
    labels: Mapping[str, str]
    """From the scene that a file name starts with to its label."""
    suffix: str
    """Of the fold lists."""
    header: bool
    """Whether the fold lists have a header line."""


LAYOUTS = {
    "tut2018": Layout(
        "TUT Urban Acoustic Scenes 2018",
        "TUT-urban-acoustic-scenes-2018-development",
        {scene: scene for scene in SCENES},
        ".txt",
        header=False,
    ),
    "tau2020-3class": Layout(
        "TAU Urban Acoustic Scenes 2020 3Class",
        "TAU-urban-acoustic-scenes-2020-3class-development",
        COARSE,
        ".csv",
        header=True,
    ),
}
CITIES = ("barcelona", "helsinki", "london", "paris", "stockholm", "vienna")
CLIP_BYTES = 44 + FRAMES * 2 * 3
"""Size of a clip: the header of a WAV file, then two channels of 24 bit."""

README = """# Built-in scenes

These clips are **synthetic**: `asc-mrkd make-scenes` computed them, nobody recorded them. Names, layout and file format
are those of {title}, so that every step can be tried without a download. An accuracy measured
here says nothing about real places.

Made with asc_mrkd {version}, seed {seed}, {clips_per_class} clips per class.
"""


@dataclass(frozen=True)
class Clip:
    """One row of the lists."""

    scene: str
    identifier: str
    """`<city>-<location id>`; location ids are unique in the whole set."""
    segment: int
    train: bool
    """Whether its location belongs to the training part of the fold."""

    @property
    def filename(self) -> str:
        """Path within the data set, as the lists give it."""
        return f"audio/{self.scene}-{self.identifier}-{self.segment}-a.wav"


def make_scenes(
    out: str | os.PathLike[str],
    clips_per_class: int = 12,
    seed: int = 0,
    workers: int | None = None,
    on_clip: Callable[[], None] | None = None,
    layout: str = "tut2018",
) -> Path:
    """Write the built-in scenes below `out` and return their folder.

    The bytes of a clip depend on `seed` and its name only. The same call again makes what is missing; a finished set
    is left as it is.

    Args:
        out: folder that receives `TUT-urban-acoustic-scenes-2018-development/`, or what the layout calls it.
        clips_per_class: clips of 10 s (2.9 MB) for each of the ten scenes, at least 2.
        seed: another seed, another city.
        workers: processes; None takes one for each CPU.
        on_clip: called once for each clip that is there.
        layout: a key of `LAYOUTS`: names, lists and labels of that data set. The recordings are the same.

    Raises:
        ConfigError: fewer than 2 clips per class, a negative seed, no worker, or an unknown layout.
        DataError: the folder holds something else, or cannot be written.
    """
    check_range("clips-per-class", clips_per_class, 2)
    check_range("seed", seed, 0)
    check_range("workers", workers, 1)
    if layout not in LAYOUTS:
        raise ConfigError(f"there is no layout '{layout}'", suggest(layout, LAYOUTS))
    chosen = LAYOUTS[layout]
    folder = Path(out) / chosen.folder
    clips = plan_clips(clips_per_class)
    try:
        about = {"title": chosen.title, "version": __version__, "seed": seed, "clips_per_class": clips_per_class}
        claim(folder, README.format(**about))
        _write_lists(folder, clips, chosen)
        paths = [folder / clip.filename for clip in clips]
        make_missing(paths, partial(_write_clip, seed=seed), workers, on_clip or (lambda: None), _is_whole)
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}",
            f"choose a folder that can hold {len(clips) * CLIP_BYTES / 1e6:.0f} MB; the same command goes on from here",
        ) from None
    return folder


def plan_clips(clips_per_class: int) -> list[Clip]:
    """List the clips: for each scene about two a location, 70 % of the locations for training, all six cities in turn.

    Locations and segments are counted through the whole set, training first, as in the real one.

    >>> [clip.filename for clip in plan_clips(2)[:2]]
    ['audio/airport-barcelona-0-0-a.wav', 'audio/bus-helsinki-1-1-a.wav']
    """
    locations = max(2, min(clips_per_class // 2, 24))
    for_training = min(round(0.7 * locations), locations - 1)
    location_ids, segments = count(), count()
    clips = []
    for train, places in ((True, range(for_training)), (False, range(for_training, locations))):
        for number, scene in enumerate(SCENES):
            for place in places:
                identifier = f"{CITIES[(number + place) % len(CITIES)]}-{next(location_ids)}"
                clips += [
                    Clip(scene, identifier, next(segments), train) for _ in range(place, clips_per_class, locations)
                ]
    return clips


def _write_lists(folder: Path, clips: list[Clip], layout: Layout) -> None:
    header = tuple(META_COLUMNS)
    rows = sorted((clip.filename, layout.labels[clip.scene], clip.identifier, "a") for clip in clips)
    _write_table(folder / "meta.csv", [header, *rows])
    for name, train, columns in (("train", True, 2), ("evaluate", False, 2), ("test", False, 1)):
        fold = [header] if layout.header else []
        fold += [(clip.filename, layout.labels[clip.scene], "", "") for clip in clips if clip.train is train]
        path = folder / "evaluation_setup" / f"fold1_{name}{layout.suffix}"
        _write_table(path, (row[:columns] for row in fold))


def _write_table(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    write_text(path, "".join("\t".join(row) + "\n" for row in rows))


def _is_whole(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == CLIP_BYTES


def _write_clip(path: Path, seed: int) -> None:
    encoded = io.BytesIO()
    sf.write(encoded, render_clip(seed, path.name), RATE, subtype="PCM_24", format="WAV")
    with atomic_writer(path) as stream:
        stream.write(encoded.getbuffer())
