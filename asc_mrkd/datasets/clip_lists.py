"""Lists of clips as people save them: tables separated by tabs, with or without a header line.

Spreadsheets, R and Windows leave quotes, byte order marks, backslashes, empty columns and other forms of the same
letters behind. They are taken off, so that a name is that of a file. A name that leads out of the data set is refused.
"""

import codecs
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pandas as pd

from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.errors import DataError

META_COLUMNS = ["scene_label" if column == "label" else column for column in CLIP_COLUMNS]
"""The columns of meta.csv; an identifier is city and location, as barcelona-0, a source label the recording device."""

MISNOMERS = {
    **dict.fromkeys(("file", "files", "file_name", "name", "path", "clip", "audio"), "filename"),
    **dict.fromkeys(("label", "labels", "scene", "class"), "scene_label"),
}
"""Words that people write into a header line, and the names of the columns that they mean."""

DEVICE_COLUMN = "device_id"
"""Name of the source label in the evaluation list of 2025."""

Rows = list[tuple[int, list[str]]]
"""Number of the line and its cells."""

SAVE_AS_UTF8 = "save it as `CSV UTF-8` or `Text (UTF-8)`, or convert it: iconv -f {encoding} -t UTF-8 OLD > NEW"


def read_list(folder: Path, path: Path) -> tuple[pd.DataFrame, int]:
    """Read a list of the clips in a folder; also return its number of repeated rows.

    The columns of the table are those of META_COLUMNS that the list has, and `line`, the number of the line.

    Raises:
        DataError: the list is missing, not a text, has no clip, or a line, which is named, is damaged or leads outside.
    """
    rows = _take_off_quotes(path, _split_lines(path))
    columns = _read_header(path, rows[0][1]) if rows else None
    if columns:
        del rows[0]
    if not rows:
        raise DataError(f"{path} lists no clip", "a list has one line per clip, which starts with its file name")
    if not columns:
        widths = Counter(_width(cells) for _, cells in rows)
        columns = META_COLUMNS[: max(1, widths.most_common(1)[0][0])]
    for number, cells in rows:
        if len(cells) < len(columns) or _width(cells) > len(columns):
            expected = f"{len(columns)} ({', '.join(columns)})"
            raise DataError(f"{path}, line {number}: {len(cells)} columns instead of {expected}")
    table = pd.DataFrame([dict(zip(columns, cells, strict=False)) for _, cells in rows])
    table = table[[column for column in columns if column in META_COLUMNS]]
    for column in table.columns.drop("filename"):
        table[column] = [unicodedata.normalize("NFC", cell) for cell in table[column]]
    table["place"] = [f"line {number}" for number, _ in rows]
    table["filename"] = _plain_names(folder, path, table)
    distinct = table.drop_duplicates(table.columns.drop("place"))
    refuse_rows(path, distinct[distinct["filename"] == ""], "has no file name")
    return distinct.copy(), len(table) - len(distinct)


def refuse_rows(path: Path | str, rows: pd.DataFrame, fault: str, hint: str = "") -> None:
    """Raise a DataError about the first of `rows`, if any; its cells replace the {column} in `fault`.

    The column `place` says where the row stands: its line in a file, or its row in a table without lines.
    """
    if len(rows):
        row = rows.iloc[0].to_dict()
        raise DataError(f"{path}, {row['place']}: {row['filename']} {fault.format_map(row)}", hint)


def is_link_outside(folder: Path, name: str) -> bool:
    """Return whether a file is a link that leads neither into its data set nor into its own folder.

    Lists may name such files: people link recordings instead of copying them. The check of the data speaks of them.
    """
    path = os.path.join(folder, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    homes = (os.path.realpath(folder), os.path.realpath(os.path.dirname(path)))
    return not any(target.startswith(home + os.sep) for home in homes)


def _split_lines(path: Path) -> Rows:
    """Return number and cells of every line that is not empty; the lines may end as on any system."""
    lines = re.split("\r\n|\r|\n", read_list_text(path))
    return [
        (number, [cell.strip() for cell in line.split("\t")])
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def read_list_text(path: Path) -> str:
    """Return the text of a list of clips.

    Raises:
        DataError: the file is missing or is not a text in UTF-8; the hint says how to save it so.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = f"a table with the columns {', '.join(META_COLUMNS)}; in an official set, unpack all archives"
        raise DataError(f"{path}: {error.strerror}", hint) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is not a text file in UTF-8 but in UTF-16", SAVE_AS_UTF8.format(encoding="UTF-16"))
    try:
        text = content.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = f"if a spreadsheet on Windows wrote it, {SAVE_AS_UTF8.format(encoding='CP1252')}"
        raise DataError(f"{path} is not a text file in UTF-8 (line {line})", hint) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: there is a zero byte, as in no text", "write or save the list again")
    return text


def _take_off_quotes(path: Path, rows: Rows) -> Rows:
    """Take off the quotes of columns in which every field is in quotes; the header may differ."""
    for column in range(max((len(cells) for _, cells in rows), default=0)):
        body = [(number, cells) for number, cells in rows[1:] if column < len(cells) and cells[column]]
        quoted = [_is_quoted(cells[column]) for _, cells in body]
        if any(quoted) and not all(quoted):
            number, cells = body[quoted.index(True)]
            raise DataError(
                f"{path}, line {number}: {cells[column]} is in quotes, other lines are not", "save it without quotes"
            )
        for _, cells in rows:
            if column < len(cells) and _is_quoted(cells[column]) and (all(quoted) or cells is rows[0][1]):
                cells[column] = cells[column][1:-1].replace('""', '"').strip()
    return rows


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _width(cells: list[str]) -> int:
    """Return the number of columns without the empty ones at the end."""
    return max((position for position, cell in enumerate(cells, start=1) if cell), default=0)


def _read_header(path: Path, cells: list[str]) -> list[str] | None:
    """Return the columns that the first line names, or None if it is a clip."""
    words = [cell.lower() for cell in cells[: _width(cells)]]
    if not words:  # nothing but empty quotes
        return None
    words = ["source_label" if word == DEVICE_COLUMN else word for word in words]
    if not set(words) & set(META_COLUMNS) and MISNOMERS.get(words[0]) != "filename":
        return None
    known = f"the known columns are {', '.join(META_COLUMNS)}"
    for word in words:
        meant = MISNOMERS.get(word)
        if meant and meant not in words:
            raise DataError(f"{path}, line 1: column '{word}' is unknown", f"did you mean '{meant}'? {known}")
        if words.count(word) > 1 and word in META_COLUMNS:
            raise DataError(f"{path}, line 1 names the column '{word}' twice")
    if "filename" not in words:
        raise DataError(f"{path}, line 1 names no column 'filename'", known)
    return words


def _plain_names(folder: Path, path: Path, table: pd.DataFrame) -> list[str]:
    """Return the names of the clips as they are on the disk, without the ways in which the same name can be written."""
    names = table["filename"].tolist()
    slashed = [name.replace("\\", "/") for name in names]
    hint = "list files below the folder of the data set only, by their path from there"
    refuse_rows(path, table[[leads_outside(name) for name in slashed]], "leads out of the data set", hint)
    # Names with backslashes come from Windows, unless files have such names here.
    changed = [(name, slash) for name, slash in zip(names, slashed, strict=True) if name != slash]
    if any(_exists(folder, slash) for _, slash in changed) and not any(_exists(folder, name) for name, _ in changed):
        names = slashed
    return [name_on_disk(folder, name) for name in names]


def leads_outside(name: str) -> bool:
    """Return whether a path leads out of its folder on any system.

    >>> [leads_outside(name) for name in ("audio/a..b.wav", "audio/../a.wav", "/a.wav", "C:/a.wav")]
    [False, True, True, True]
    """
    return ".." in name.split("/") or re.match("/|[A-Za-z]:/", name) is not None


def _exists(folder: Path, name: str) -> bool:
    return os.path.lexists(os.path.join(folder, name))


def name_on_disk(folder: Path, name: str) -> str:
    """Return a name without `./`, its letters composed as in the name of the file, or as usual if there is no file.

    An é is one character or an e with an accent: macOS writes the second form, most others the first.
    """
    name = "/".join(part for part in name.split("/") if part not in ("", "."))
    if name.isascii():
        return name
    composed = unicodedata.normalize("NFC", name)
    forms = (name, composed, unicodedata.normalize("NFD", name))
    return next((form for form in forms if _exists(folder, form)), composed)
