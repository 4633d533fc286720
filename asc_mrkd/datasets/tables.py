"""Tables of own recordings: .csv, .tsv, .parquet or pandas, with columns of any name."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.datasets.clip_lists import name_on_disk, read_list_text, refuse_rows
from asc_mrkd.datasets.own import finish_own
from asc_mrkd.datasets.recordings import NONE, Dataset, Reading, require_plain_names
from asc_mrkd.datasets.splits import SPLIT_NAMES
from asc_mrkd.errors import SHOWN, DataError, MissingExtraError, first_line, shorten, suggest
from asc_mrkd.folders import find_files, visible_folders

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
"""Suffixes of tables, in lower case."""

LIST_FOLDERS = ("meta", "metadata")
"""Folders of a data set in which the list of the clips may lie, as in ESC-50 and UrbanSound8K."""

USUAL_NAMES = {
    "path": (
        *("filename", "file_name", "file", "filepath", "file_path", "path", "audio", "audio_path", "audio_file"),
        *("audio_filename", "slice_file_name", "wav", "recording", "clip", "fname", "name"),
    ),
    "label": ("label", "labels", "primary_label", "scene_label", "class", "class_name", "category", "scene", "target"),
    "group": (
        *("group", "groups", "src_file", "source_file", "session", "identifier", "location", "place", "site"),
        *("speaker", "recording_id", "fsid"),
    ),
    "split": ("split", "subset", "set", "partition"),
    "fold": ("fold", "folds", "fold_id"),
    "start": ("start", "onset", "start_time", "start_seconds", "begin"),
    "end": ("end", "offset", "end_time", "end_seconds", "stop"),
    "duration": ("duration", "duration_seconds", "dur"),
    "device": ("source_label", "device"),
}
"""Usual names of the columns, in lower case, the most usual first."""

TIMES = ("start", "end", "duration")
"""Kinds of columns with the place of a clip in its file."""

SLICES = ("slice_file_name",)
"""Names, in lower case, of columns of files that were cut from longer ones: the times next to them are places there."""

SEPARATORS = "\t;,|"
"""Separators of columns; the first line shows which one a table has."""


def is_table(path: Path) -> bool:
    """Return whether a path is a table, by its name."""
    return path.suffix.lower() in TABLE_SUFFIXES and path.is_file()


def lists_clips(path: Path) -> bool:
    """Return whether a table has columns of usual names for files and classes."""
    try:
        names = list(_read_file(path).columns)
    except (DataError, MissingExtraError):
        return False
    return all(_first_of(USUAL_NAMES[kind], names) for kind in ("path", "label"))


def read_table(source: Path | pd.DataFrame, reading: Reading) -> Dataset:
    """Read the clips that a table lists.

    Args:
        source: the file, or the table itself.
        reading: names of the columns, where they are not usual ones, and the folder of the files.

    Raises:
        DataError: the table is damaged, a column is missing or unknown (all are listed), a row has no file name or
            label, none of the files exists, or the split cannot be made.
        MissingExtraError: a .parquet cannot be read because no library for it is installed.
    """
    title = "the table" if isinstance(source, pd.DataFrame) else str(source)
    table = _as_text(source) if isinstance(source, pd.DataFrame) else _read_file(source)
    if table.empty:
        raise DataError(f"{title} lists no clip", "a table has a line with the names of the columns and one per clip")
    columns = _choose_columns(title, table, reading)
    chosen = table[list(columns.values())].set_axis(list(columns), axis=1)
    chosen = chosen.rename(columns={"path": "filename", "device": "source_label"})
    chosen = chosen.assign(place=table.index).reset_index(drop=True)
    refuse_rows(title, chosen[chosen["filename"] == ""], "has no file name", "write one, or remove the row")
    refuse_rows(title, chosen[chosen["label"] == ""], "has no label", "write one, or remove the row")
    remarks = []
    if columns["path"].lower() in SLICES and reading.start_column is None:
        places = [columns.pop(time) for time in TIMES if time in columns]
        if places:
            remarks.append(f"{' and '.join(places)} are places in the source, not in the file, and are not used")
        chosen = chosen.drop(columns=[time for time in TIMES if time in chosen])
    for column in ("split", "fold"):
        if column in chosen and chosen[column].nunique() == 1:
            remarks.append(f"{columns.pop(column)} holds one value and is not used")
            chosen = chosen.drop(columns=column)
    if "fold" in chosen:
        refuse_rows(title, chosen[chosen["fold"] == ""], "has no fold", "write one, or --fold-column none ignores all")
    if "split" in chosen and reading.test_fold is None:
        hint = f"known: {', '.join(SPLIT_NAMES)}; --split-column none ignores them"
        unknown = chosen[~chosen["split"].str.lower().isin(SPLIT_NAMES.keys())]
        refuse_rows(title, unknown, "has the split '{split}'", hint)
    folder = Path() if isinstance(source, pd.DataFrame) else source.parent
    root, names = _find_files(title, folder, chosen["filename"].tolist(), reading.root)
    require_plain_names(root, names)  # before pandas, which takes no others
    chosen["filename"] = names
    if reading.root is None and root != folder:
        remarks.insert(0, f"files below {root}")
    refuse_rows(title, chosen[chosen["filename"] == ""], "has the name of a folder")
    chosen = _with_times(title, chosen)
    clips, duplicates = _without_repeats(title, chosen)
    if "group" not in clips:
        clips["group"] = ""
    words = [columns["path"], f"{columns['label']} as label"]
    words += [f"{columns[name]} as {name}" for name in ("group", "split", "fold", "device") if name in columns]
    words += [f"{columns[name]} as {name}" for name in TIMES if name in columns]
    sentence = "; ".join([", ".join(words), *remarks])
    folders = _folders_of(clips["filename"])
    dataset = Dataset(root, "table", clips.drop(columns="place"), [], duplicates, folders)
    return finish_own(dataset, reading, sentence, columns.get("group", ""))


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of texts whose index names the row by its index before, as in `row 0`; missing is empty."""
    texts = table.astype(object).where(table.notna(), "").map(lambda cell: str(cell).strip())
    texts.columns = [str(name).strip() for name in texts.columns]
    return texts.set_axis([f"row {label}" for label in table.index])


def _read_file(path: Path) -> pd.DataFrame:
    """Return a table of texts whose index names the line, as in `line 2`, or the row of a .parquet, as in `row 0`."""
    if path.suffix.lower() != ".parquet":
        return _read_text_table(path)
    try:
        return _as_text(pd.read_parquet(path))
    except ImportError:
        raise MissingExtraError(
            f"{path}: no library that reads .parquet is installed", "pip install 'asc-mrkd[parquet]'"
        ) from None
    except Exception as error:  # damage can raise anything, the library names no complete list
        raise DataError(f"{path} cannot be read: {first_line(error)}", "save it as .csv") from None


def _read_text_table(path: Path) -> pd.DataFrame:
    text = read_list_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    said = re.fullmatch("sep=(.)", first)  # a line for Excel
    separator = said[1] if said else max(SEPARATORS, key=first.count)
    # Strict, because a lone quote would swallow all rows up to the next one.
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        hint = "a quote at the start of a field must be closed at its end; quotes within it are doubled"
        raise DataError(f"{path}, line {reader.line_num}: {error}", hint) from None
    if said:
        rows.pop(0)
    if not rows:
        return pd.DataFrame()
    _, header = rows.pop(0)
    while header and not header[-1]:
        header.pop()
    if any(cell.lower().endswith(SOUND_SUFFIXES) for cell in header):
        raise DataError(f"{path}: the first line is a clip", "put the names of the columns above it: filename,label")
    hint = "mend that line, or the first one, which names the columns"
    for number, cells in rows:
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise DataError(f"{path}, line {number}: {len(cells)} columns instead of {len(header)}", hint)
    lines = [f"line {number}" for number, _ in rows]
    return pd.DataFrame([cells[: len(header)] for _, cells in rows], index=lines, columns=header)


def _choose_columns(title: str, table: pd.DataFrame, reading: Reading) -> dict[str, str]:
    """Return the name of the column for each kind of USUAL_NAMES that the table has."""
    names = list(table.columns)
    said = {
        "path": reading.path_column,
        "label": reading.label_column,
        "group": reading.group_column,
        "split": reading.split_column,
        "fold": reading.fold_column,
        "start": reading.start_column,
    }
    columns: dict[str, str] = {}
    for kind, usual in USUAL_NAMES.items():
        wanted = said.get(kind)
        if wanted is None:
            found = _first_of(usual, names, taken=columns.values())
        elif wanted == NONE and kind not in ("path", "label"):
            found = None
        else:
            found = wanted if wanted in names else _first_of((wanted.lower().replace(" ", "_"),), names)
            if found is None:
                raise DataError(f"{title} has no column '{wanted}': {_list_names(names)}", suggest(wanted, names))
        if found is not None:
            columns[kind] = found
    if reading.start_column == NONE:  # every clip is a whole file
        columns.pop("end", None)
    if "start" not in columns or "end" in columns:  # the duration of a whole recording, or one that follows from both
        columns.pop("duration", None)
    for kind, what in (("path", "the file names"), ("label", "the classes")):
        if kind not in columns:
            raise DataError(f"{title} has no column for {what}: {_list_names(names)}", f"--{kind}-column NAME names it")
    if "end" in columns and "start" not in columns and columns["end"].lower() == "offset":
        raise DataError(
            f"{title} has the column '{columns['end']}', but none for the start of a clip",
            "call it start if clips start there, end if they end there, or remove it",
        )
    for name in columns.values():
        if names.count(name) > 1:
            raise DataError(f"{title} names the column '{name}' twice", "rename one of them")
    return columns


def _first_of(usual: tuple[str, ...], names: Collection[str], taken: Collection[str] = ()) -> str | None:
    """Return the first usual name among the columns, as it is written there."""
    by_words = {name.lower().replace(" ", "_"): name for name in reversed(list(names)) if name not in taken}
    return next((by_words[word] for word in usual if word in by_words), None)


def _list_names(names: list[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return f"its columns are {', '.join(names[:SHOWN])}{more}"


def _find_files(
    title: str, folder: Path, names: list[str], root: str | os.PathLike[str] | None
) -> tuple[Path, list[str]]:
    """Return the folder that holds all files, and their names below it."""
    names = [name if os.path.exists(os.path.join(folder, name)) else name.replace("\\", "/") for name in names]
    start = _find_start(title, folder, names, root)
    names = [_with_suffix(start, name) for name in names]
    if not any(os.path.exists(os.path.join(start, name)) for name in names):
        names = _find_below(title, start, names)
    place = os.path.abspath(start)
    paths = [os.path.normpath(os.path.join(place, name)) for name in names]
    home = start
    if not all(_is_in(path, place) for path in paths):
        place = _common_folder(title, paths)
        home = Path(place)
    below = [path[len(os.path.join(place, "")) :].replace(os.sep, "/") for path in paths]
    return home, [name_on_disk(home, name) for name in below]


def _is_in(path: str, folder: str) -> bool:
    """Return whether a path is that of a folder, or of anything below it; both are normal and absolute."""
    return os.path.join(path, "").startswith(os.path.join(folder, ""))


def _common_folder(title: str, paths: list[str]) -> str:
    """Return the folder that holds all files.

    Raises:
        DataError: they lie on several drives of Windows.
    """
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:
        raise DataError(f"{title}: the files lie on several drives", "move them to one drive") from None


def _find_start(title: str, folder: Path, names: list[str], root: str | os.PathLike[str] | None) -> Path:
    """Return the folder that the file names start from: the given one, or one near the table.

    Names without a folder may also belong to files in folders of that folder, as in fold1/a.wav.
    """
    if root is not None:
        if not Path(root).is_dir():
            raise DataError(f"--root {root}: no such folder", "name the folder that the file names start from")
        return Path(root)
    above = folder.absolute().parent
    near = [folder, *visible_folders(folder), above, *visible_folders(above)]
    # Names alone do not tell the recordings of one project from those of the next, so the search stays within this one.
    within = near if folder.absolute().name in LIST_FOLDERS else [folder, *visible_folders(folder)]
    for name in names[:SHOWN]:
        for start in near:
            if _holds(start, name):
                return start.parent if start.parent in within and _holds_some_only(start, names) else start
    for start in within:
        for inner in visible_folders(start):
            if any(_holds(inner, name) for name in names[:SHOWN]):
                return start
    raise DataError(
        f"{title}: there is no file {shorten(names[0])} below {folder.absolute()}, and none of the next ones",
        "--root FOLDER names the folder that the file names start from",
    )


def _folders_of(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders of some files, sorted, without those below another of them.

    >>> [path.as_posix() for path in _folders_of(["a/b/1.wav", "a-b/2.wav", "a/3.wav"])]
    ['a', 'a-b']
    """
    folders: list[Path] = []
    for folder in sorted({Path(name).parent for name in names}):
        if not folders or not folder.is_relative_to(folders[-1]):
            folders.append(folder)
    return tuple(folders)


def _holds(folder: Path, name: str) -> bool:
    """Return whether a folder holds a file, whose name may lack its suffix."""
    return os.path.exists(os.path.join(folder, _with_suffix(folder, name)))


def _holds_some_only(folder: Path, names: list[str]) -> bool:
    """Return whether names without a folder are those of files in a folder and in others next to it."""
    missing = [name for name in names if "/" not in name and not _holds(folder, name)]
    return any(_holds(other, name) for name in missing for other in visible_folders(folder.parent))


def _find_below(title: str, start: Path, names: list[str]) -> list[str]:
    """Return names without a folder with the folder, somewhere below `start`, in which the only such file lies.

    Raises:
        DataError: there are several files of one of the names.
    """
    places: dict[str, list[str]] = {}
    for path in find_files(start, SOUND_SUFFIXES):
        place = path.relative_to(start).as_posix()
        for name in (path.name, path.stem):
            places.setdefault(unicodedata.normalize("NFC", name), []).append(place)
    found = []
    for name in names:
        candidates = places.get(unicodedata.normalize("NFC", name), [name])
        if len(candidates) > 1:
            raise DataError(
                f"{title}: {name} may be {' or '.join(candidates[:SHOWN])} below {start}",
                "write the folder in front of the name",
            )
        found += candidates
    return found


def _with_suffix(start: Path, name: str) -> str:
    """Return a name with the suffix of its file, if the table leaves it out."""
    if os.path.exists(os.path.join(start, name)) or name.lower().endswith(SOUND_SUFFIXES):
        return name
    suffixes = [*SOUND_SUFFIXES, *(suffix.upper() for suffix in SOUND_SUFFIXES)]
    return next((name + suffix for suffix in suffixes if os.path.exists(os.path.join(start, name + suffix))), name)


def _with_times(title: str, clips: pd.DataFrame) -> pd.DataFrame:
    """Turn the times into the columns start and end (s), if there are any; an empty end is that of the recording."""
    if "start" not in clips and "end" not in clips:
        return clips
    start = _seconds(title, clips, "start").fillna(0.0)
    end = start + _seconds(title, clips, "duration") if "duration" in clips else _seconds(title, clips, "end")
    clips = clips.drop(columns="duration", errors="ignore").assign(start=start.round(3), end=end.round(3))
    refuse_rows(
        title, clips[clips["start"] < 0], "starts before its recording", "times are seconds from the start of the file"
    )
    refuse_rows(title, clips[clips["end"] <= clips["start"]], "ends before it starts", "both are times in seconds")
    return clips


def _seconds(title: str, clips: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of times as numbers; NaN where it is empty or missing."""
    if column not in clips:
        return pd.Series(float("nan"), index=clips.index)
    texts = clips[column].str.replace(",", ".")
    numbers = pd.to_numeric(texts.replace("", "nan"), errors="coerce").astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    fault = f"has the {column} '{{{column}}}'"
    refuse_rows(title, clips[numbers.isna() & (texts != "")], fault, "times are numbers of seconds, such as 12.5")
    return numbers


def _without_repeats(title: str, clips: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Drop repeated rows and return their number; refuse a clip with two labels."""
    distinct = clips.drop_duplicates(clips.columns.drop("place")).copy()
    keys = [name for name in ("filename", "start", "end") if name in distinct]
    hint = "a clip has one label; parts of a recording have the columns start and end"
    refuse_rows(title, distinct[distinct.duplicated(keys)], "was listed above with other entries", hint)
    return distinct, len(clips) - len(distinct)
