"""Findings of the data checks: faults of clips, images, lists, splits, classes and stored rows."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from asc_mrkd.errors import shell_command

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning"]

OTHER_SOUND_SUFFIXES = (
    *(".m4a", ".mp4", ".aac", ".wma", ".amr", ".ape", ".wv", ".webm", ".mka", ".mov", ".mkv", ".avi", ".3gp"),
    *(".ac3", ".dsf", ".sph", ".voc", ".mpga", ".ra"),
)
"""Suffixes of sound and video files that are not read, in lower case."""


@dataclass(frozen=True)
class Finding:
    """One fault.

    >>> Finding("silent", "audio/a.wav", "all samples are equal", "error").severity
    'error'
    """

    code: str
    """Kind of fault; every check documents its codes."""
    subject: str
    """Name of the clip, image, file, list, split, location or class."""
    detail: str
    """Figures behind the fault."""
    severity: Severity
    """`error` if the subject cannot be used, `warning` otherwise."""


def unusable_subjects(findings: list[Finding]) -> list[str]:
    """Name the subjects of the errors, each once.

    >>> unusable_subjects([Finding("silent", "b.wav", "", "error"), Finding("wrong_rate", "a.wav", "", "warning")])
    ['b.wav']
    """
    return sorted({finding.subject for finding in findings if finding.severity == "error"})


def find_other_kinds(names: list[str]) -> list[Finding]:
    """Name the files that were passed over because of their kind once, and count them.

    >>> [finding.detail for finding in find_other_kinds(["a.m4a", "b.M4A"])]
    ['2 files of other kinds were left out, such as a.m4a; ffmpeg -i a.m4a a.wav converts one']
    """
    if not names:
        return []
    kinds = ", ".join(sorted({os.path.splitext(name)[1].lower() or "no ending" for name in names}))
    detail = f"{len(names)} files of other kinds were left out, such as {names[0]}"
    if len(names) == 1:
        detail = f"{names[0]} is of another kind and was left out"
    sound = next((name for name in names if name.lower().endswith(OTHER_SOUND_SUFFIXES)), None)
    if sound is not None:
        command = shell_command("ffmpeg", "-i", sound, f"{os.path.splitext(sound)[0]}.wav")
        detail += f"; {command} converts one"
    return [Finding("other_files", kinds, detail, "warning")]


def count_by_fold(clips: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Count the clips of the splits train and test by the value of a column."""
    import pandas as pd

    return pd.crosstab(clips[column], clips["split"]).reindex(columns=["train", "test"], fill_value=0)


def find_absent_classes(clips: "pd.DataFrame", classes: list[str]) -> list[Finding]:
    """Find the classes without a clip in train or in test: a network cannot learn them, or is never asked for them."""
    counts = count_by_fold(clips, "label").reindex(classes, fill_value=0)
    findings = []
    for fold in counts:
        for label in counts.index[counts[fold] == 0]:
            findings.append(Finding(f"class_not_in_{fold}", label, f"no clip in {fold} has this label", "warning"))
    return findings


def find_similar_classes(classes: list[str]) -> list[Finding]:
    """Find classes whose names differ in capitals, blanks and hyphens only: one is probably a typing error.

    >>> [found] = find_similar_classes(["Metro station", "bus", "metro_station"])
    >>> found.subject, found.detail
    ('metro_station', 'there is also the class Metro station: are they one?')
    """
    findings = []
    known: dict[str, str] = {}
    for label in classes:
        first = known.setdefault(re.sub(r"[\s_-]", "", label).casefold(), label)
        if first != label:
            detail = f"there is also the class {first}: are they one?"
            findings.append(Finding("similar_classes", label, detail, "warning"))
    return findings


def find_lists_of_classes(classes: list[str]) -> list[Finding]:
    """Find classes that are probably lists of several labels of a clip: parts of them return in others.

    >>> [found] = find_lists_of_classes(["Bark,Dog", "Dog", "Rain"])
    >>> found.subject, found.detail
    ('Bark,Dog', '1 of 3 classes look like lists of labels: a clip has one class, so each list counts as a class')
    >>> find_lists_of_classes(["bus, inside", "tram"])
    []
    """
    for separator in ",;|":
        parts_of = {label: {part.strip() for part in label.split(separator)} for label in classes}
        uses = Counter(part for parts in parts_of.values() for part in parts)
        lists = [label for label in classes if separator in label and any(uses[part] > 1 for part in parts_of[label])]
        if lists:
            detail = f"{len(lists)} of {len(classes)} classes look like lists of labels: "
            detail += "a clip has one class, so each list counts as a class"
            return [Finding("lists_of_classes", lists[0], detail, "warning")]
    return []


@dataclass(frozen=True)
class DataCheck:
    """Result of the check of a data set of recordings, an image set or a feature store."""

    layout: str
    """Name of the layout, such as `TUT 2018`."""
    unit: Literal["clips", "images", "rows"]
    """Noun for the items that are counted."""
    splits: dict[str, int]
    """Number of clips, images or rows in each split."""
    classes: list[str]
    """Class names; the position of a name is its class index."""
    findings: list[Finding]
    """All findings, in the order of the check."""
    summary: list[str] = field(default_factory=list)
    """Sentences about own recordings: classes, columns, groups, recordings, splits, and what the extraction will do."""

    @property
    def total(self) -> int:
        """Number of clips, images or rows."""
        return sum(self.splits.values())

    @property
    def unusable(self) -> list[str]:
        """Names of the unusable clips or rows, or the subjects in which an image set differs from the official one."""
        return unusable_subjects(self.findings)

    def passes(self, max_bad: float = 0.01) -> bool:
        """Return whether the share of unusable clips is at most `max_bad`; for images and rows, whether none is.

        >>> silent = Finding("silent", "b.wav", "", "error")
        >>> check = DataCheck("TUT 2018", "clips", {"train": 40, "test": 10}, ["bus"], [silent])
        >>> check.passes(), check.passes(max_bad=0.02)
        (False, True)
        """
        allowed = max_bad if self.unit == "clips" else 0.0
        return len(self.unusable) <= allowed * self.total
