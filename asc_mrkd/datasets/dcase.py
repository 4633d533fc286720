"""The layouts of DCASE: recordings with meta.csv and fold lists, or recordings without labels for an evaluation."""

from pathlib import Path

import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.datasets.recordings import Dataset, list_recordings
from asc_mrkd.errors import DataError

META_COLUMNS = ["scene_label" if column == "label" else column for column in CLIP_COLUMNS]
"""The columns of meta.csv; an identifier is city and location, as barcelona-0, a source label the recording device."""

FOLD_LISTS = {"fold1_train": "train", "fold1_test": "test", "fold1_evaluate": "test"}
"""Split of the clips in each list of evaluation_setup/; fold1_evaluate is fold1_test with labels."""

EDITIONS = {".txt": "TUT 2018", ".csv": "TAU 2019"}
"""Data set that introduced lists with this ending; .csv lists have a header line, .txt lists none."""

COARSE_LABELS = {
    **dict.fromkeys(("airport", "metro_station", "shopping_mall"), "indoor"),
    **dict.fromkeys(("park", "public_square", "street_pedestrian", "street_traffic"), "outdoor"),
    **dict.fromkeys(("bus", "metro", "tram"), "transportation"),
}
"""Label in the 3-class set of each of the ten scenes; the official file names start with the scene."""

UNPACK_HINT = "unpack all archives of the data set into one folder and name that folder"


def is_development_set(folder: Path) -> bool:
    """Return whether a folder has labels or a training list."""
    return (folder / "meta.csv").exists() or _find_list(folder, ["fold1_train"]) is not None


def is_evaluation_set(folder: Path) -> bool:
    """Return whether a folder without labels has lists or recordings."""
    return (folder / "evaluation_setup").exists() or (folder / "audio").exists()


def read_development_set(folder: Path) -> Dataset:
    """Read meta.csv and the fold lists of a development set.

    Raises:
        DataError: a list is missing or damaged, or two lists contradict each other.
    """
    train = _find_list(folder, ["fold1_train"])
    if train is None or _find_list(folder, ["fold1_test", "fold1_evaluate"]) is None:
        raise DataError(f"{folder / 'evaluation_setup'} lacks the list fold1_train or fold1_test", UNPACK_HINT)

    meta, duplicates = _read_meta(folder / "meta.csv")
    split = pd.Series("unused", index=meta.index)
    for name, part in FOLD_LISTS.items():
        path = _find_list(folder, [name])
        if path is None:
            continue
        members, repeated = _read_fold(path, meta["scene_label"])
        other = split[members["filename"]].isin({"train", "test"} - {part}).to_numpy()
        _refuse_rows(path, members[other], "is in the other fold too")
        split[members["filename"]] = part
        duplicates += repeated

    city = [identifier.rpartition("-")[0] or identifier for identifier in meta["identifier"]]
    clips = meta.assign(city=city, split=split).rename(columns={"scene_label": "label"}).sort_index().reset_index()
    return Dataset(folder, EDITIONS[train.suffix], clips, sorted(clips["label"].unique()), duplicates)


def read_evaluation_set(folder: Path) -> Dataset:
    """Read the list of an evaluation set or, if it has none, the names of its recordings.

    Raises:
        DataError: the list is damaged, or the folder has neither a list nor a recording.
    """
    path = _find_list(folder, ["test", "fold1_test"])
    if path:
        table, duplicates = _read_list(path)
        names = sorted(set(table["filename"]))
    else:
        names = list_recordings(folder)
        duplicates = 0
    if not names:
        raise DataError(f"{folder} has neither a list of clips nor a sound file under audio/", UNPACK_HINT)
    clips = pd.DataFrame({"filename": names}).assign(label="", identifier="", source_label="", city="", split="test")
    return Dataset(folder, "evaluation", clips, [], duplicates)


def _find_list(folder: Path, names: list[str]) -> Path | None:
    """Return the first of some lists that exists, with any ending."""
    candidates = [folder / "evaluation_setup" / f"{name}{suffix}" for name in names for suffix in EDITIONS]
    return next((path for path in candidates if path.is_file()), None)


def _read_meta(path: Path) -> tuple[pd.DataFrame, int]:
    """Read meta.csv into a table indexed by filename; also return its number of repeated rows."""
    table, duplicates = _read_list(path)
    missing = [column for column in META_COLUMNS if column not in table]
    if missing:
        columns = ", ".join(META_COLUMNS)
        hint = f"its first line names the columns, tabs between: {columns}"
        raise DataError(f"{path} lacks: {', '.join(missing)}", hint)
    _refuse_rows(path, table[table["scene_label"] == ""], "has no label")
    _refuse_rows(path, table[table.duplicated("filename")], "was listed above with other entries")
    label = table["scene_label"]
    scene = table["filename"].str.rpartition("/")[2].str.partition("-")[0]
    unknown = scene.isin(COARSE_LABELS) & (label != scene) & (label != scene.map(COARSE_LABELS))
    _refuse_rows(path, table[unknown], "has the unknown label '{scene_label}'")
    return table[META_COLUMNS].set_index("filename"), duplicates


def _read_fold(path: Path, labels: pd.Series) -> tuple[pd.DataFrame, int]:
    """Read a fold list and compare it with the `labels` of meta.csv, a series indexed by filename."""
    table, duplicates = _read_list(path)
    _refuse_rows(path, table[~table["filename"].isin(labels.index)], "is not in meta.csv")
    if "scene_label" in table:
        table["expected"] = labels[table["filename"]].to_numpy()
        contradicting = table[table["scene_label"] != table["expected"]]
        _refuse_rows(path, contradicting, "is labelled '{scene_label}' here and '{expected}' in meta.csv")
    return table, duplicates


def _read_list(path: Path) -> tuple[pd.DataFrame, int]:
    """Read a tab-separated list, with or without a header line; also return its number of repeated rows.

    The column `line` of the table has the number of the line.
    """
    rows = _split_lines(path)
    columns = META_COLUMNS
    if rows:
        _, first = rows[0]
        columns = META_COLUMNS[: len(first)]
        if "filename" in first:
            columns = first
            del rows[0]
    if not rows:
        raise DataError(f"{path} lists no clip", UNPACK_HINT)
    for number, cells in rows:
        if len(cells) != len(columns):
            expected = f"{len(columns)} ({', '.join(columns)})"
            raise DataError(f"{path}, line {number}: {len(cells)} columns instead of {expected}")
    table = pd.DataFrame([dict(zip(columns, cells, strict=True)) for _, cells in rows])
    table["line"] = [number for number, _ in rows]
    distinct = table.drop_duplicates(set(columns))
    _refuse_rows(path, distinct[distinct["filename"] == ""], "has no file name")
    return distinct.copy(), len(table) - len(distinct)


def _split_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return number and cells of every line that is not empty; the lines may end as on any system."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", UNPACK_HINT) from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file in UTF-8", UNPACK_HINT) from None
    cells = [[cell.strip() for cell in line.split("\t")] for line in lines]
    return [(number, cells[number - 1]) for number, line in enumerate(lines, start=1) if line.strip()]


def _refuse_rows(path: Path, rows: pd.DataFrame, fault: str) -> None:
    """Raise a DataError about the first of `rows`, if any; its cells replace the {column} in `fault`."""
    if len(rows):
        row = rows.iloc[0].to_dict()
        raise DataError(f"{path}, line {row['line']}: {row['filename']} {fault.format_map(row)}")
