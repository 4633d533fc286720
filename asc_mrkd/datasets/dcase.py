"""The layouts of DCASE: recordings with meta.csv and fold lists, or recordings without labels for an evaluation."""

import difflib
import os
from collections import Counter
from pathlib import Path

import pandas as pd

from asc_mrkd.datasets.clip_lists import META_COLUMNS, read_list, refuse_rows
from asc_mrkd.datasets.recordings import Dataset, list_recordings, require_plain_names
from asc_mrkd.errors import DataError

FOLD_LISTS = {"fold1_train": "train", "fold1_test": "test", "fold1_evaluate": "test"}
"""Split of the clips in each list of evaluation_setup/; fold1_evaluate is fold1_test with labels."""

LIST_SUFFIXES = (".txt", ".csv")
"""Endings of the lists: .txt until 2018, without a header line, .csv since then, with one."""

COARSE_LABELS = {
    **dict.fromkeys(("airport", "metro_station", "shopping_mall"), "indoor"),
    **dict.fromkeys(("park", "public_square", "street_pedestrian", "street_traffic"), "outdoor"),
    **dict.fromkeys(("bus", "metro", "tram"), "transportation"),
}
"""Label in the 3-class set of each of the ten scenes; the official file names start with the scene."""

SIMULATED_DEVICES = ("s1", "s2", "s3", "s4", "s5", "s6")
"""Simulated devices of the development sets since 2020. Names of clips of 2022 have a sixth part, the second."""

LIST_HINT = "a fold list has the file names of meta.csv, and tabs between its columns"
OWN_HINT = "own recordings go into a folder per class, or a table lists them: see docs/own-recordings.md"
UNPACK_HINT = "unpack all archives of the data set into one folder and name that folder"


def is_development_set(folder: Path) -> bool:
    """Return whether a folder has labels or a training list; one that may not be entered has neither."""
    return os.path.exists(folder / "meta.csv") or _find_list(folder, ["fold1_train"]) is not None


def is_evaluation_set(folder: Path) -> bool:
    """Return whether a folder without labels has lists or recordings."""
    return os.path.exists(folder / "evaluation_setup") or os.path.exists(folder / "audio")


def read_development_set(folder: Path) -> Dataset:
    """Read meta.csv and the fold lists of a development set.

    Raises:
        DataError: a list is missing or damaged, or two lists contradict each other.
    """
    train = _find_list(folder, ["fold1_train"])
    if train is None or _find_list(folder, ["fold1_test", "fold1_evaluate"]) is None:
        hint = f"they name the clips of each side; in an official set, {UNPACK_HINT}"
        if not (folder / "evaluation_setup").exists():
            hint = f"in an official set, {UNPACK_HINT}; for own recordings name the table itself, {folder / 'meta.csv'}"
        raise DataError(f"{folder / 'evaluation_setup'} lacks the list fold1_train or fold1_test", hint)

    meta, duplicates = _read_meta(folder)
    split = pd.Series("unused", index=meta.index)
    for name, part in FOLD_LISTS.items():
        path = _find_list(folder, [name])
        if path is None:
            continue
        members, repeated = _read_fold(folder, path, meta["scene_label"])
        other = split[members["filename"]].isin({"train", "test"} - {part}).to_numpy()
        refuse_rows(path, members[other], "is in the other fold too")
        split[members["filename"]] = part
        duplicates += repeated

    city = [identifier.rpartition("-")[0] or identifier for identifier in meta["identifier"]]
    clips = meta.assign(city=city, split=split).rename(columns={"scene_label": "label"}).sort_index().reset_index()
    classes = sorted(clips.loc[clips["split"] != "unused", "label"].unique())
    return Dataset(folder, _edition(train.suffix, clips), clips, classes, duplicates)


def _edition(suffix: str, clips: pd.DataFrame) -> str:
    """Return the name of the first official data set with such lists, labels and devices."""
    if suffix == ".txt":
        return "TUT 2018"
    if clips["label"].isin(COARSE_LABELS.values()).all():
        return "TAU 2020 3Class"
    if clips["source_label"].isin(SIMULATED_DEVICES).any():
        has_seconds = clips["filename"].str.count("-").eq(5).all()
        return "TAU 2022 Mobile" if has_seconds else "TAU 2020 Mobile"
    return "TAU 2019"


def read_evaluation_set(folder: Path) -> Dataset:
    """Read the list of an evaluation set or, if it has none, the names of its recordings.

    The list of 2025 names the device of every clip, `device_id`.

    Raises:
        DataError: the list is damaged, or the folder has neither a list nor a recording.
    """
    path = _find_list(folder, ["test", "fold1_test"])
    devices: dict[str, str] = {}
    if path:
        table, duplicates = read_list(folder, path)
        names = sorted(set(table["filename"]))
        if "source_label" in table:
            devices = dict(zip(table["filename"], table["source_label"], strict=True))
    else:
        names = list_recordings(folder)
        duplicates = 0
    if not names:
        raise DataError(f"{folder} has neither a list of clips nor a sound file under audio/", UNPACK_HINT)
    require_plain_names(folder, names)
    clips = pd.DataFrame({"filename": names}).assign(label="", identifier="", city="", split="test")
    clips.insert(3, "source_label", [devices.get(name, "") for name in names])
    return Dataset(folder, "evaluation", clips, [], duplicates)


def _find_list(folder: Path, names: list[str]) -> Path | None:
    """Return the first of some lists that exists, with any ending."""
    candidates = [folder / "evaluation_setup" / f"{name}{suffix}" for name in names for suffix in LIST_SUFFIXES]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _read_meta(folder: Path) -> tuple[pd.DataFrame, int]:
    """Read meta.csv into a table indexed by filename; also return its number of repeated rows."""
    path = folder / "meta.csv"
    table, duplicates = read_list(folder, path)
    missing = [column for column in META_COLUMNS if column not in table]
    if missing:
        columns = ", ".join(META_COLUMNS)
        hint = f"its first line names the columns, tabs between: {columns}"
        raise DataError(f"{path} lacks: {', '.join(missing)}", hint)
    refuse_rows(path, table[table["scene_label"] == ""], "has no label")
    refuse_rows(path, table[table.duplicated("filename")], "was listed above with other entries")
    refuse_rows(path, _find_mistyped(table), "has the unknown label '{scene_label}'")
    return table[META_COLUMNS].set_index("filename"), duplicates


def _find_mistyped(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose label contradicts the scene in an official file name.

    Labels of one's own are not mistakes: a name that is neither an official label nor close to that of the clip, or
    another official label for all clips of a scene.
    """
    scenes = table["filename"].str.rpartition("/")[2].str.partition("-")[0]
    uses = Counter(zip(scenes, table["scene_label"], strict=True))

    def is_mistyped(scene: str, label: str) -> bool:
        official = (scene, COARSE_LABELS.get(scene, ""))
        if scene not in COARSE_LABELS or label in official:
            return False
        is_used_throughout = uses[scene, label] > 1 and not any(uses[scene, word] for word in official)
        return not is_used_throughout and _is_probably_meant_to_be(scene, label)

    return table[[is_mistyped(*pair) for pair in zip(scenes, table["scene_label"], strict=True)]]


def _is_probably_meant_to_be(scene: str, label: str) -> bool:
    """Return whether a label other than those of a scene was meant to be one of them.

    >>> [_is_probably_meant_to_be("airport", label) for label in ("airprot", "tram", "vehicle")]
    [True, True, False]
    """
    words = [scene, COARSE_LABELS[scene]]
    is_official = label in COARSE_LABELS or label in COARSE_LABELS.values()
    return is_official or bool(difflib.get_close_matches(label, words, n=1, cutoff=0.75))


def _read_fold(folder: Path, path: Path, labels: pd.Series) -> tuple[pd.DataFrame, int]:
    """Read a fold list and compare it with the `labels` of meta.csv, a series indexed by filename."""
    table, duplicates = read_list(folder, path)
    refuse_rows(path, table[~table["filename"].isin(labels.index)], "is not in meta.csv", LIST_HINT)
    if "scene_label" in table:
        table["expected"] = labels[table["filename"]].to_numpy()
        contradicting = table[table["scene_label"] != table["expected"]]
        refuse_rows(path, contradicting, "is labelled '{scene_label}' here and '{expected}' in meta.csv")
    return table, duplicates
