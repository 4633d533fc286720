"""The official data set layouts: a folder of recordings with meta.csv and fold lists becomes one table of clips."""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.errors import DataError
from asc_mrkd.files import find_files

META_COLUMNS = ["scene_label" if column == "label" else column for column in CLIP_COLUMNS]
"""The columns of meta.csv; an identifier is city and location, as barcelona-0, a source label the recording device."""

FOLD_LISTS = {"fold1_train": "train", "fold1_test": "test", "fold1_evaluate": "test"}
"""Lists in evaluation_setup/ and the split of the files in them; fold1_evaluate is fold1_test with labels."""

LAYOUTS = {".txt": "TUT 2018", ".csv": "TAU 2019"}
"""Extension of the lists and the data set that introduced it; .csv lists have a header line, .txt lists none."""

COARSE_LABELS = {
    **dict.fromkeys(("airport", "metro_station", "shopping_mall"), "indoor"),
    **dict.fromkeys(("park", "public_square", "street_pedestrian", "street_traffic"), "outdoor"),
    **dict.fromkeys(("bus", "metro", "tram"), "transportation"),
}
"""Label in the 3-class set of each of the ten scenes; the official file names start with the scene."""

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

_UNPACK_HINT = "unpack all archives of the data set into one folder and name that folder"


@dataclass(frozen=True)
class Dataset:
    """The clips of one data set folder.

    Attributes:
        root: the folder that the file names are relative to.
        layout: "TUT 2018", "TAU 2019" (used to this day) or "evaluation" (no labels).
        clips: one row a file, sorted by filename: filename, label, identifier, source_label, city and split ("train",
            "test" or "unused"). Clips of an evaluation set have the split "test" and empty strings elsewhere.
        classes: the labels in alphabetical order; the position of a label is its class index.
        duplicates: number of repeated rows in the lists; they are dropped.
    """

    root: Path
    layout: str
    clips: pd.DataFrame
    classes: list[str]
    duplicates: int


def read_dataset(root: str | os.PathLike[str]) -> Dataset:
    """Read the lists of a data set as its archives unpack; no recording is opened.

    Args:
        root: the data set folder, or a folder that holds exactly one of them.

    Raises:
        DataError: a folder or list is missing or damaged, or two lists contradict each other.
    """
    folder = _find_folder(Path(root))
    train = _find_list(folder, ["fold1_train"])
    if train is None and not (folder / "meta.csv").exists():
        return _read_evaluation_set(folder)
    if train is None or _find_list(folder, ["fold1_test", "fold1_evaluate"]) is None:
        raise DataError(f"{folder / 'evaluation_setup'} lacks the list fold1_train or fold1_test", _UNPACK_HINT)

    meta, duplicates = _read_meta(folder / "meta.csv")
    split = pd.Series("unused", index=meta.index)
    for name, part in FOLD_LISTS.items():
        if path := _find_list(folder, [name]):
            members, repeated = _read_fold(path, meta["scene_label"])
            taken = split[members["filename"]].isin({"train", "test"} - {part}).to_numpy()
            _refuse(path, members[taken], "is in the other fold too")
            split[members["filename"]] = part
            duplicates += repeated

    city = [identifier.rpartition("-")[0] or identifier for identifier in meta["identifier"]]
    clips = meta.assign(city=city, split=split).rename(columns={"scene_label": "label"}).sort_index().reset_index()
    return Dataset(folder, LAYOUTS[train.suffix], clips, sorted(clips["label"].unique()), duplicates)


def audio_names(root: Path) -> list[str]:
    """List the sound files under `root`/audio as meta.csv would name them."""
    return sorted(path.relative_to(root).as_posix() for path in find_files(root / "audio", SOUND_SUFFIXES))


def _find_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", _UNPACK_HINT)
    if _is_dataset(root):
        return root
    inner = [path for path in sorted(root.iterdir()) if _is_dataset(path)]
    if not inner:
        raise DataError(f"{root} holds no data set: neither meta.csv nor evaluation_setup/ nor audio/", _UNPACK_HINT)
    if len(inner) > 1:
        names = ", ".join(path.name for path in inner)
        raise DataError(f"{root} holds several data sets: {names}", f"name one of them, as {inner[0]}")
    return inner[0]


def _is_dataset(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("meta.csv", "evaluation_setup", "audio"))


def _find_list(folder: Path, names: list[str]) -> Path | None:
    candidates = [folder / "evaluation_setup" / f"{name}{suffix}" for name in names for suffix in LAYOUTS]
    return next((path for path in candidates if path.is_file()), None)


def _read_evaluation_set(folder: Path) -> Dataset:
    if path := _find_list(folder, ["test", "fold1_test"]):
        table, duplicates = _read_table(path)
        names = sorted(set(table["filename"]))
    else:
        names, duplicates = audio_names(folder), 0
    if not names:
        raise DataError(f"{folder} has neither a list of clips nor a sound file under audio/", _UNPACK_HINT)
    clips = pd.DataFrame({"filename": names}).assign(label="", identifier="", source_label="", city="", split="test")
    return Dataset(folder, "evaluation", clips, [], duplicates)


def _read_meta(path: Path) -> tuple[pd.DataFrame, int]:
    """Read meta.csv into a table indexed by filename; also return its number of repeated rows."""
    table, duplicates = _read_table(path)
    missing = [column for column in META_COLUMNS if column not in table]
    if missing:
        columns = ", ".join(META_COLUMNS)
        raise DataError(
            f"{path} lacks: {', '.join(missing)}", f"its first line names the columns, tabs between: {columns}"
        )
    _refuse(path, table[table["scene_label"] == ""], "has no label")
    _refuse(path, table[table.duplicated("filename")], "was listed above with other entries")
    scene = table["filename"].str.rpartition("/")[2].str.partition("-")[0]
    unknown = (
        scene.isin(COARSE_LABELS) & (table["scene_label"] != scene) & (table["scene_label"] != scene.map(COARSE_LABELS))
    )
    _refuse(path, table[unknown], "has the unknown label '{scene_label}'")
    return table[META_COLUMNS].set_index("filename"), duplicates


def _read_fold(path: Path, labels: pd.Series) -> tuple[pd.DataFrame, int]:
    """Read a fold list and compare it with the `labels` of meta.csv, a series indexed by filename."""
    table, duplicates = _read_table(path)
    _refuse(path, table[~table["filename"].isin(labels.index)], "is not in meta.csv")
    if "scene_label" in table:
        table["expected"] = labels[table["filename"]].to_numpy()
        contradicting = table[table["scene_label"] != table["expected"]]
        _refuse(path, contradicting, "is labelled '{scene_label}' here and '{expected}' in meta.csv")
    return table, duplicates


def _read_table(path: Path) -> tuple[pd.DataFrame, int]:
    """Read a tab separated list, with or without header line, any line ends; a column `line` counts its lines.

    Repeated rows are dropped, their number is returned too.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", _UNPACK_HINT) from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file in UTF-8", _UNPACK_HINT) from None
    rows = [
        (number, [cell.strip() for cell in line.split("\t")]) for number, line in enumerate(lines, 1) if line.strip()
    ]
    first = rows[0][1] if rows else []
    columns = rows.pop(0)[1] if "filename" in first else META_COLUMNS[: len(first)]
    if not rows:
        raise DataError(f"{path} lists no clip", _UNPACK_HINT)
    for number, cells in rows:
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {number}: {len(cells)} columns instead of {len(columns)} ({', '.join(columns)})"
            )
    table = pd.DataFrame([dict(zip(columns, cells, strict=True)) for _, cells in rows])
    table["line"] = [number for number, _ in rows]
    distinct = table.drop_duplicates(set(columns))
    _refuse(path, distinct[distinct["filename"] == ""], "has no file name")
    return distinct.copy(), len(table) - len(distinct)


def _refuse(path: Path, rows: pd.DataFrame, fault: str) -> None:
    """Raise a DataError that names the first of `rows`, if there is any; {column} in `fault` is filled in."""
    if len(rows):
        row = rows.iloc[0].to_dict()
        raise DataError(f"{path}, line {row['line']}: {row['filename']} {fault.format_map(row)}")
