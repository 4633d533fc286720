"""The built-in data sets as folders: scenes with the lists of an official set, images in the layout of CINIC-10."""

import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import soundfile as sf
from PIL import Image

from asc_mrkd import __version__
from asc_mrkd.datasets.dcase import COARSE_LABELS
from asc_mrkd.datasets.synthetic.mobile import CLIP_BYTES as MOBILE_CLIP_BYTES
from asc_mrkd.datasets.synthetic.mobile import (
    EVALUATION_DEVICES,
    KNOWN_DEVICES,
    SECONDS,
    TEST_DEVICES,
    TRAINING_DEVICES,
    are_seconds_whole,
    write_responses,
    write_seconds,
)
from asc_mrkd.datasets.synthetic.pictures import CLASSES, render_image
from asc_mrkd.datasets.synthetic.scenes import FRAMES, SCENES, render_clip
from asc_mrkd.datasets.synthetic.signals import RATE
from asc_mrkd.errors import ConfigError, DataError, suggest
from asc_mrkd.files import atomic_writer, format_bytes, write_text
from asc_mrkd.folders import is_empty
from asc_mrkd.machine import available_cores
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.rng import generator
from asc_mrkd.workers import local_pool, map_in_order

MAX_BATCH = 8
"""Most files that a process takes at a time: Ctrl-C waits for those that have been handed out."""

CLIP_BYTES = 44 + FRAMES * 2 * 3
"""Size of a clip: the header of a WAV file, then two channels of 24 bits."""

IMAGE_BYTES = 3000
"""Approximate size of an image."""

TRAINING_SHARE = 0.8
"""Share of the images of a class that are for training."""

SUBSETS = (5, 10, 25, 50, 100)
"""Shares in percent of the training clips that the lists of DCASE 2024 and 2025 hold."""

CITIES = ("barcelona", "helsinki", "london", "paris", "stockholm", "vienna")

SCENES_README = """# Built-in scenes

These clips are **synthetic**: `asc-mrkd make-scenes` computed them, nobody recorded them. Names, layout and file format
are those of {title}, so that every step can be tried without a download. An accuracy measured
here says nothing about real places.

Made with asc_mrkd {version}, seed {seed}, {clips_per_class} clips per class.
"""

IMAGES_README = """# Built-in images

These images are **synthetic**: `asc-mrkd make-images` drew them. Size and layout are those of CINIC-10, without a valid
folder, so that every step can be tried without a download. An accuracy measured here says nothing about photographs.

Made with asc_mrkd {version}, seed {seed}, {classes} classes, {per_class} images per class.
"""


@dataclass(frozen=True)
class SceneLayout:
    """Folder, labels and lists of one official data set."""

    title: str
    folder: str
    labels: Mapping[str, str]
    """Label of each scene."""
    suffix: str
    """Suffix of the fold lists."""
    header: bool
    """Whether the fold lists have a header line."""
    by_class: bool = False
    """Whether there is a folder per class with a folder per place in it, as of own recordings, and no list."""
    evaluation: str = ""
    """Folder of the evaluation set of a mobile set, whose clips are of one second from several devices."""


SCENE_LAYOUTS = {
    "tut2018": SceneLayout(
        "TUT Urban Acoustic Scenes 2018",
        "TUT-urban-acoustic-scenes-2018-development",
        {scene: scene for scene in SCENES},
        ".txt",
        header=False,
    ),
    "tau2020-3class": SceneLayout(
        "TAU Urban Acoustic Scenes 2020 3Class",
        "TAU-urban-acoustic-scenes-2020-3class-development",
        COARSE_LABELS,
        ".csv",
        header=True,
    ),
    "tau2022-mobile": SceneLayout(
        "TAU Urban Acoustic Scenes 2022 Mobile",
        "TAU-urban-acoustic-scenes-2022-mobile-development",
        {scene: scene for scene in SCENES},
        ".csv",
        header=True,
        evaluation="TAU-urban-acoustic-scenes-2025-mobile-evaluation",
    ),
    "folders": SceneLayout(
        "own recordings, a folder per class", "recordings", {scene: scene for scene in SCENES}, "", False, by_class=True
    ),
}
"""Layouts by the name that `asc-mrkd make-scenes --layout` takes."""


def make_scenes(
    out: str | os.PathLike[str],
    clips_per_class: int = 12,
    seed: int = 0,
    *,
    layout: str = "tut2018",
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Write the built-in scenes below `out` and return their folder.

    The bytes of a clip depend on `seed` and on its name alone. The same call again makes the missing clips; a finished
    set is left as it is.

    Args:
        out: folder that receives `TUT-urban-acoustic-scenes-2018-development/`, or the folder of another layout:
            `recordings/` of `folders`, with a folder per class.
        clips_per_class: clips of 10 s (2.9 MB) for each of the ten scenes, at least 2. In the layout `tau2022-mobile`
            each is cut into ten clips of 1 s (0.13 MB), one device after the other; one more recording per class is
            for the evaluation set, next to the folder.
        seed: seed of all clips.
        layout: a key of `SCENE_LAYOUTS`: names, lists and labels of that data set. The recordings are the same.
        workers: processes; None takes one per processor core.
        progress: shows the clips that exist.

    Raises:
        ConfigError: fewer than 2 clips per class, a negative seed, no worker, or an unknown layout.
        DataError: the folder holds something else, or cannot be written.

    Example:
        folder = make_scenes("exp/scenes", clips_per_class=12, seed=0)
    """
    check_range("clips-per-class", clips_per_class, 2)
    check_range("seed", seed, 0)
    check_range("workers", workers, 1)
    if layout not in SCENE_LAYOUTS:
        raise ConfigError(f"there is no layout '{layout}'", suggest(layout, SCENE_LAYOUTS))
    chosen = SCENE_LAYOUTS[layout]
    folder = Path(out) / chosen.folder
    clips = plan_clips(clips_per_class)
    readme = SCENES_README.format(title=chosen.title, version=__version__, seed=seed, clips_per_class=clips_per_class)
    try:
        claim_folder(folder, readme)
        if chosen.evaluation:
            evaluation = folder.with_name(chosen.evaluation)
            claim_folder(evaluation, readme)
            _make_mobile_clips(folder, evaluation, clips, seed, workers, progress)
            return folder
        if not chosen.by_class:
            _write_lists(folder, clips, chosen)
        with progress("scenes", len(clips), "clips") as advance:
            paths = [folder / (clip.file_by_class if chosen.by_class else clip.filename) for clip in clips]
            make_missing(paths, partial(_write_clip, seed=seed), workers, advance, is_whole=_is_whole_clip)
    except OSError as error:
        size = len(clips) * CLIP_BYTES
        if chosen.evaluation:
            size = (len(clips) + len(SCENES)) * SECONDS * MOBILE_CLIP_BYTES
        raise _cannot_write(folder, error, size) from None
    return folder


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

    def seconds(self) -> list[tuple[str, str]]:
        """Return the file name and the device of each second in a mobile set."""
        devices = TRAINING_DEVICES if self.train else TEST_DEVICES
        stem = f"{self.scene}-{self.identifier}-{self.segment}"
        return [(f"{stem}-{second}-{device}.wav", device) for second, device in enumerate(devices)]

    @property
    def file_by_class(self) -> str:
        """Name in a folder per class, below the folder of its place."""
        return f"{self.scene}/{self.identifier}/{Path(self.filename).name}"


def plan_clips(clips_per_class: int) -> list[Clip]:
    """List the clips: about two per location of each scene, 70 % of the locations for training, all six cities in turn.

    Locations and segments are numbered through the whole set, training first, as in the real one.

    >>> [clip.filename for clip in plan_clips(2)[:2]]
    ['audio/airport-barcelona-0-0-a.wav', 'audio/bus-helsinki-1-1-a.wav']
    """
    locations = max(2, min(clips_per_class // 2, 24))
    for_training = min(round(0.7 * locations), locations - 1)
    location_ids = count()
    segments = count()
    clips = []
    for train, places in ((True, range(for_training)), (False, range(for_training, locations))):
        for number, scene in enumerate(SCENES):
            for place in places:
                city = CITIES[(number + place) % len(CITIES)]
                identifier = f"{city}-{next(location_ids)}"
                for _ in range(place, clips_per_class, locations):
                    clips.append(Clip(scene, identifier, next(segments), train))
    return clips


def _make_mobile_clips(
    folder: Path, evaluation: Path, clips: list[Clip], seed: int, workers: int | None, progress: Progress
) -> None:
    """Make a development and an evaluation set of clips of one second: recordings, lists, impulse responses."""
    unlabelled = [
        Clip(scene, f"lyon-{len(clips) + number}", len(clips) + number, False) for number, scene in enumerate(SCENES)
    ]
    pieces = {Path(clip.filename).name: clip.seconds() for clip in clips}
    for number, clip in enumerate(unlabelled):
        names = [f"{SECONDS * number + second}.wav" for second in range(SECONDS)]
        pieces[Path(clip.filename).name] = list(zip(names, EVALUATION_DEVICES, strict=True))
    _write_mobile_lists(folder, clips)
    evaluated = [piece for clip in unlabelled for piece in pieces[Path(clip.filename).name]]
    known = [(f"audio/{name}", device if device in KNOWN_DEVICES else "unknown") for name, device in evaluated]
    _write_table(evaluation / "evaluation_setup" / "fold1_test.csv", [("filename", "device_id"), *known])
    write_responses(folder / "impulse_responses")
    paths = [folder / clip.filename for clip in clips] + [evaluation / clip.filename for clip in unlabelled]
    with progress("scenes", len(paths), "recordings") as advance:
        make = partial(write_seconds, seed=seed, pieces=pieces)
        make_missing(paths, make, workers, advance, is_whole=partial(are_seconds_whole, pieces=pieces))


def _write_mobile_lists(folder: Path, clips: list[Clip]) -> None:
    """Write meta.csv, the fold lists and the lists of the training clips of 5 to 100 %.

    A smaller list is part of every larger one, and holds about the same share of every class.
    """
    header = ("filename", "scene_label", "identifier", "source_label")
    rows = {
        clip: [(f"audio/{name}", clip.scene, clip.identifier, device) for name, device in clip.seconds()]
        for clip in clips
    }
    _write_table(folder / "meta.csv", [header, *sorted(row for of_clip in rows.values() for row in of_clip)])
    setup = folder / "evaluation_setup"
    for name, train, columns in (("train", True, 2), ("evaluate", False, 2), ("test", False, 1)):
        fold = [row for clip in clips if clip.train is train for row in rows[clip]]
        _write_table(setup / f"fold1_{name}.csv", [row[:columns] for row in [header, *fold]])
    ranked = {}
    for scene in SCENES:
        of_scene = [row for clip in clips if clip.train and clip.scene == scene for row in rows[clip]]
        order = generator(f"subsets of {scene}", 0).permutation(len(of_scene))
        ranked[scene] = [of_scene[place] for place in order]
    for share in SUBSETS:
        chosen = [row for of_scene in ranked.values() for row in of_scene[: math.ceil(share / 100 * len(of_scene))]]
        _write_table(setup / f"split{share}.csv", [row[:2] for row in [header, *sorted(chosen)]])


def _write_lists(folder: Path, clips: list[Clip], layout: SceneLayout) -> None:
    """Write meta.csv and the fold lists."""
    header = ("filename", "scene_label", "identifier", "source_label")
    rows = sorted((clip.filename, layout.labels[clip.scene], clip.identifier, "a") for clip in clips)
    _write_table(folder / "meta.csv", [header, *rows])
    for name, train, columns in (("train", True, 2), ("evaluate", False, 2), ("test", False, 1)):
        fold = [(clip.filename, layout.labels[clip.scene]) for clip in clips if clip.train is train]
        if layout.header:
            fold.insert(0, header[:2])
        path = folder / "evaluation_setup" / f"fold1_{name}{layout.suffix}"
        _write_table(path, [row[:columns] for row in fold])


def _write_table(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    write_text(path, "".join("\t".join(row) + "\n" for row in rows))


def _is_whole_clip(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == CLIP_BYTES


def _write_clip(path: Path, seed: int) -> None:
    encoded = io.BytesIO()
    sf.write(encoded, render_clip(seed, path.name), RATE, subtype="PCM_24", format="WAV")
    with atomic_writer(path) as stream:
        stream.write(encoded.getbuffer())


def make_images(
    out: str | os.PathLike[str],
    classes: int = 10,
    per_class: int = 100,
    seed: int = 0,
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Write the built-in images into `out` as `train|test/<class>/<class>-<index>.png` and return the folder.

    A class is a shape with a surface: `disc_plain`, `ring_stripes` ... Place, size, rotation, colours, clutter, cover
    and noise are drawn for each image, so that a single pixel says nothing about the class. An image depends on `seed`,
    its class and its index alone. The same call again makes the missing images; a finished set is left as it is.

    Args:
        out: folder that becomes the data set.
        classes: number of classes, 2 to 100.
        per_class: images of 32 x 32 pixels per class, at least 2; the first 80 % are for training, the others for test.
        seed: seed of all images.
        workers: processes; None takes one per processor core.
        progress: shows the images that exist.

    Raises:
        ConfigError: a number is out of its range.
        DataError: the folder holds something else, or cannot be written.

    Example:
        folder = make_images("exp/images", classes=10, per_class=200)
    """
    check_range("classes", classes, 2, len(CLASSES))
    check_range("per-class", per_class, 2)
    check_range("seed", seed, 0)
    check_range("workers", workers, 1)
    folder = Path(out)
    paths = [folder / name for name in plan_images(classes, per_class)]
    try:
        claim_folder(folder, IMAGES_README.format(version=__version__, seed=seed, classes=classes, per_class=per_class))
        with progress("images", len(paths), "images") as advance:
            make_missing(paths, partial(_write_image, seed=seed), workers, advance)
    except OSError as error:
        raise _cannot_write(folder, error, len(paths) * IMAGE_BYTES) from None
    return folder


def plan_images(classes: int, per_class: int) -> list[str]:
    """List the files of the set.

    >>> plan_images(2, 2)[:2]
    ['train/disc_plain/disc_plain-00000.png', 'test/disc_plain/disc_plain-00001.png']
    """
    for_training = min(round(TRAINING_SHARE * per_class), per_class - 1)
    names = []
    for label in CLASSES[:classes]:
        for index in range(per_class):
            split = "train" if index < for_training else "test"
            names.append(f"{split}/{label}/{label}-{index:05d}.png")
    return names


def _write_image(path: Path, seed: int) -> None:
    label, _, index = path.stem.rpartition("-")
    with atomic_writer(path) as stream:
        Image.fromarray(render_image(seed, label, int(index))).save(stream, "PNG")


# Shared by both: ranges of options, the folder, and the files in it.


def check_range(name: str, value: int | None, least: int, most: int | None = None) -> None:
    """Raise ConfigError, with the name of the option, unless `value` is None or within `least` ... `most`."""
    if value is None:
        return
    if value < least:
        raise ConfigError(f"{name} is {value}, it must be at least {least}", f"--{name} {least}")
    if most is not None and value > most:
        raise ConfigError(f"{name} is {value}, it must be at most {most}", f"--{name} {most}")


def claim_folder(folder: Path, readme: str) -> None:
    """Mark a new or empty folder as the data set that `readme` describes.

    Raises:
        DataError: it holds anything else.
    """
    marker = folder / "README.md"
    is_marked = marker.is_file() and marker.read_bytes() == readme.encode()
    if folder.exists() and not is_empty(folder) and not is_marked:
        raise DataError(f"{folder} already holds another data set", "choose another folder, or remove this one first")
    write_text(marker, readme)


def make_missing(
    paths: list[Path],
    make: Callable[[Path], None],
    workers: int | None,
    advance: Callable[[int], None],
    is_whole: Callable[[Path], bool] = Path.is_file,
) -> None:
    """Make the files that are not whole.

    Args:
        paths: all files.
        make: function that writes one file; it must be importable by its name.
        workers: processes; None takes one per processor core.
        advance: called with the number of files that exist.
        is_whole: function that says whether a file exists and is complete.
    """
    missing = [path for path in paths if not is_whole(path)]
    advance(len(paths) - len(missing))
    if not missing:
        return
    workers = min(workers or available_cores(), len(missing))
    size = min(MAX_BATCH, math.ceil(len(missing) / (4 * workers)))
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    for _ in map_in_order(local_pool(workers), partial(_make_batch, make), batches, on_crash=_give_up):
        advance(1)


def _make_batch(make: Callable[[Path], None], paths: Sequence[Path]) -> list[bool]:
    for path in paths:
        make(path)
    return [True] * len(paths)


def _give_up(path: Path) -> bool:
    raise DataError(f"{path}: the process that makes it died or took too long", "the same command goes on from here")


def _cannot_write(folder: Path, error: OSError, size: int) -> DataError:
    """Return the error for a folder that cannot take `size` bytes."""
    hint = f"choose a folder that can hold {format_bytes(size)}; the same command goes on from here"
    return DataError(f"{folder}: {error.strerror}", hint)
