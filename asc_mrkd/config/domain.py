"""What the samples of a run are, scenes or images: how they are grouped and how a result is put into words."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from asc_mrkd.config import Experiment, ImagesConfig

CLIP_COLUMNS = ("filename", "label", "identifier", "source_label")
"""Columns of every table of clips or images: what is known of a sample before anything is computed from it.

Of scenes the identifier is city and location (barcelona-0) and the source label the recording device; of images they
are superclass and origin. They stand here because stores, data sets, runs and the engine all stand above this room.
"""

Group = Callable[[pd.DataFrame], pd.Series]
"""From the table of predictions.csv to the name of the group of every sample."""

DEVICE_GROUPS = {
    **dict.fromkeys(("a", "b", "c"), "real"),
    **dict.fromkeys(("s1", "s2", "s3"), "seen"),
    **dict.fromkeys(("s4", "s5", "s6"), "unseen"),
}
"""Devices of TAU Urban Acoustic Scenes Mobile: real ones, simulated and seen in training, simulated and unseen."""


@dataclass(frozen=True)
class Kind:
    """What differs between runs on scenes and runs on images."""

    name: str
    samples: str
    """What the samples are called, in the plural."""
    groups: dict[str, Group]
    """The groups beside the class."""
    better: str
    """Sentence about a run that is more accurate than its baseline, or as accurate, by `points` percentage points."""
    worse: str
    """Sentence about a run that is less accurate."""


SCENES = Kind(
    name="scenes",
    samples="clips",
    groups={
        "city": lambda table: table["identifier"].str.rsplit("-", n=1).str[0],
        "device": lambda table: table["source_label"],
        "device_group": lambda table: table["source_label"].map(DEVICE_GROUPS).fillna("other"),
    },
    better="{ours} is {points:.2f} percentage points above {theirs} in accuracy",
    worse="{ours} is {points:.2f} percentage points below {theirs} in accuracy",
)

IMAGES = Kind(
    name="images",
    samples="images",
    groups={
        "superclass": lambda table: table["identifier"],
        "origin": lambda table: table["source_label"],
    },
    better="{ours} has {points:.2f} percentage points fewer errors than {theirs}",
    worse="{ours} has {points:.2f} percentage points more errors than {theirs}",
)


def kind_of(experiment: Experiment) -> Kind:
    """Return what the samples of an experiment are."""
    return IMAGES if isinstance(experiment.data, ImagesConfig) else SCENES
