"""Scenes or images: everything that differs between runs on recordings and runs on images, apart from drawing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asc_mrkd.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CLIP_COLUMNS = ("filename", "label", "identifier", "source_label")
"""Columns of every table of clips or images: the facts about a sample that are known before anything is computed.

Of scenes the identifier is city and location (barcelona-0), or the group of own recordings, and the source label is the
recording device; of images they are superclass and origin. They are defined here because this is the lowest room that
stores, data sets, runs and the engine can all import.
"""

TEXT_COLUMNS = [*CLIP_COLUMNS, "prediction"]
"""Columns of predictions.csv before those of the classes, with their probabilities; no class can be called like one."""

DEVICE_GROUPS = {
    **dict.fromkeys(("a", "b", "c"), "real"),
    **dict.fromkeys(("s1", "s2", "s3"), "seen"),
    **dict.fromkeys(("s4", "s5", "s6", "s7", "s8", "s9", "s10", "unknown"), "unseen"),
}
"""Devices of TAU Urban Acoustic Scenes Mobile: real ones, simulated and seen in training, simulated and unseen."""


def require_class_names(classes: Iterable[str]) -> None:
    """Refuse classes that cannot have a column in predictions.csv.

    Raises:
        DataError: a class has the name of one of TEXT_COLUMNS.
    """
    for name in classes:
        if name in TEXT_COLUMNS:
            raise DataError(
                f"a class cannot be called '{name}', because predictions.csv has another column of this name",
                "give the class another name in the data",
            )


Group = Callable[["pd.DataFrame"], "pd.Series"]
"""From a table with CLIP_COLUMNS to the name of the group of every sample."""


def _has_cities(table: "pd.DataFrame") -> bool:
    """Return whether the identifiers are city and location, as in official sets, and not groups of own recordings.

    Groups may be written alike, as `house-1`; but the file names of official sets repeat city and location.
    """
    identifiers = table["identifier"]
    if not identifiers[identifiers != ""].str.fullmatch(r"[^/]+-\d+").all():
        return False
    pairs = zip(identifiers, table["filename"], strict=True)
    return all(f"-{identifier}-" in filename for identifier, filename in pairs if identifier)


def _city(table: "pd.DataFrame") -> "pd.Series":
    """Return the city of every sample, "" where the identifiers are groups."""
    if _has_cities(table):
        return table["identifier"].str.rsplit("-", n=1).str[0]
    return table["identifier"].str[:0]


def _group(table: "pd.DataFrame") -> "pd.Series":
    """Return the group of every sample, "" where the identifiers are city and location."""
    if _has_cities(table):
        return table["identifier"].str[:0]
    return table["identifier"]


def _device_group(table: "pd.DataFrame") -> "pd.Series":
    return table["source_label"].map(DEVICE_GROUPS).fillna("other")


@dataclass(frozen=True)
class Domain:
    """Names and definitions for one sort of samples.

    >>> SCENES.samples, SCENES.headline, IMAGES.samples, IMAGES.headline
    ('clips', 'accuracy', 'images', 'error')
    """

    name: Literal["scenes", "images"]
    data_key: Literal["store", "images"]
    """Key of the section `data` that names the folder of the samples."""
    sample: str
    """Noun for one sample."""
    samples: str
    """Noun for several samples."""
    category: str
    """Noun for one class."""
    categories: str
    """Noun for several classes."""
    groups: Mapping[str, Group]
    """Groups of samples that are scored besides the classes."""
    cluster_column: str
    """Column of CLIP_COLUMNS whose value dependent samples share: the recording location. Images are independent."""
    headline: Literal["accuracy", "error"]
    """Main figure of a result: accuracy as in DCASE, or error as in papers on images."""
    better: str
    """Sentence about a run that is more accurate than its baseline, by `points` percentage points."""
    worse: str
    """Sentence about a run that is less accurate than its baseline."""
    augmentations: tuple[str, ...]
    """Keys of the section `augment` that exist for these samples only."""

    @property
    def direction(self) -> Literal[1, -1]:
        """Sign of a difference in the headline figure when accuracy rises."""
        return 1 if self.headline == "accuracy" else -1

    def headline_value(self, accuracy: float) -> float:
        """Return the headline figure of an accuracy, both 0..1.

        >>> SCENES.headline_value(0.75), IMAGES.headline_value(0.75)
        (0.75, 0.25)
        """
        return accuracy if self.headline == "accuracy" else 1 - accuracy


SCENES = Domain(
    name="scenes",
    data_key="store",
    sample="clip",
    samples="clips",
    category="scene",
    categories="scenes",
    groups={
        "city": _city,
        "group": _group,
        "device": lambda table: table["source_label"],
        "device_group": _device_group,
    },
    cluster_column="identifier",
    headline="accuracy",
    better="{ours} is {points:.2f} percentage points above {theirs} in accuracy",
    worse="{ours} is {points:.2f} percentage points below {theirs} in accuracy",
    augmentations=("roll_frames", "crop_frames", "device_responses", "freq_mixstyle", "mask_bins", "mask_frames"),
)

IMAGES = Domain(
    name="images",
    data_key="images",
    sample="image",
    samples="images",
    category="class",
    categories="classes",
    groups={"superclass": lambda table: table["identifier"], "origin": lambda table: table["source_label"]},
    cluster_column="filename",
    headline="error",
    better="{ours} has {points:.2f} percentage points fewer errors than {theirs}",
    worse="{ours} has {points:.2f} percentage points more errors than {theirs}",
    augmentations=("pad", "flip"),
)

DOMAINS = {domain.name: domain for domain in (SCENES, IMAGES)}
"""All domains by name."""
