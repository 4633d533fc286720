"""Lists of clips as spreadsheets, R, Windows and macOS leave them, and lists that lead out of the data set."""

import errno
import json
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.cli import run_cli

from asc_mrkd.datasets import read_dataset
from asc_mrkd.datasets.check import check_recordings
from asc_mrkd.errors import DataError

ROWS = [
    ["audio/a1.wav", "kitchen", "ulm-1", "a"],
    ["audio/a2.wav", "attic", "ulm-2", "a"],
    ["audio/b1.wav", "kitchen", "ulm-3", "b"],
    ["audio/b2.wav", "attic", "ulm-4", "b"],
]
HEADER = ["filename", "scene_label", "identifier", "source_label"]


def table(rows: list[list[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


@pytest.fixture
def root(tmp_path) -> Path:
    """Own recordings, two classes, two clips on each side, lists with header lines."""
    root = tmp_path / "own"
    (root / "audio").mkdir(parents=True)
    (root / "evaluation_setup").mkdir()
    for name, *_ in ROWS:
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (800, 2))
        soundfile.write(root / name, noise, 8000, subtype="PCM_16")
    (root / "meta.csv").write_text(table([HEADER, *ROWS]))
    (root / "evaluation_setup/fold1_train.csv").write_text(table([HEADER[:2], *(row[:2] for row in ROWS[:2])]))
    (root / "evaluation_setup/fold1_test.csv").write_text(table([HEADER[:1], *(row[:1] for row in ROWS[2:])]))
    return root


def lists(root: Path) -> list[Path]:
    return [root / "meta.csv", *sorted((root / "evaluation_setup").iterdir())]


def change(path: Path, old: str, new: str, count: int = -1) -> None:
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, count).encode())


def read_rows(root: Path) -> list[list[str]]:
    return read_dataset(root).clips[["filename", "label", "identifier", "source_label", "split"]].to_numpy().tolist()


EXPECTED = [[*row, split] for row, split in zip(ROWS, ["train", "train", "test", "test"], strict=True)]


def quote_all(root: Path) -> None:
    for path in lists(root):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        path.write_text(table([[f'"{cell}"' for cell in row] for row in rows]))


def quote_texts(root: Path) -> None:
    """Put quotes around two columns only, without the header."""
    (root / "meta.csv").write_text(table([HEADER, *([f'"{a}"', b, f'"{c}"', d] for a, b, c, d in ROWS)]))


def capitals(root: Path) -> None:
    change(root / "meta.csv", "filename\tscene_label\tidentifier", "Filename\tScene_Label\tIDENTIFIER")
    change(root / "evaluation_setup/fold1_train.csv", "filename", "FileName")


def backslashes(root: Path) -> None:
    for path in lists(root):
        change(path, "audio/", "audio\\")


def backslashes_in_one(root: Path) -> None:
    change(root / "meta.csv", "audio/", "audio\\")


def trailing_tabs(root: Path) -> None:
    for path in lists(root):
        change(path, "\n", "\t\t\n")


def trailing_tabs_without_header(root: Path) -> None:
    (root / "evaluation_setup/fold1_train.csv").write_text(table([[*row[:2], "", ""] for row in ROWS[:2]]))


def dots(root: Path) -> None:
    change(root / "evaluation_setup/fold1_train.csv", "audio/", "./audio/")
    change(root / "evaluation_setup/fold1_test.csv", "audio/", "audio//./")


def byte_order_marks(root: Path) -> None:
    for path in lists(root):
        path.write_text("\ufeff" + path.read_text())


def old_mac_lines(root: Path) -> None:
    for path in lists(root):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))


def blank_lines(root: Path) -> None:
    for path in lists(root):
        change(path, "\n", "\r\n\r\n \t \r\n")


def other_order(root: Path) -> None:
    (root / "meta.csv").write_text(table([[*row[::-1], "x"] for row in [[*HEADER], *ROWS]]).replace("x", "note", 1))


HABITS = {
    "m1 capitals": capitals,
    "m3 quotes": quote_all,
    "m3 some quotes": quote_texts,
    "m3 backslashes": backslashes,
    "m3 backslashes in meta.csv": backslashes_in_one,
    "m3 trailing tabs": trailing_tabs,
    "m3 trailing tabs, no header": trailing_tabs_without_header,
    "m3 dots": dots,
    "byte order marks": byte_order_marks,
    "old Mac": old_mac_lines,
    "blank lines": blank_lines,
    "columns in another order": other_order,
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
def test_m1_m3_habits_of_other_programs_change_nothing(root, habit):
    habit(root)
    assert read_rows(root) == EXPECTED
    assert read_dataset(root).classes == ["attic", "kitchen"]
    assert [f.code for f in check_recordings(read_dataset(root)) if f.severity == "error"] == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message", "hint"),
    [
        ("meta.csv", "filename", "file", "meta.csv, line 1: column 'file' is unknown", "'filename'"),
        ("evaluation_setup/fold1_test.csv", "filename", "File", "line 1: column 'file' is unknown", "filename"),
        (
            "evaluation_setup/fold1_train.csv",
            "scene_label",
            "Label",
            "line 1: column 'label'",
            "scene_label, identifier",
        ),
        ("meta.csv", "filename\t", "id\t", "line 1 names no column 'filename'", "the known columns are"),
        ("meta.csv", "identifier", "filename", "line 1 names the column 'filename' twice", ""),
        (
            "meta.csv",
            "\tattic\tulm-2",
            '\t"attic"\tulm-2',
            'line 3: "attic" is in quotes, other lines are not',
            "quotes",
        ),
    ],
)
def test_m1_m3_what_cannot_be_meant_is_named(root, name, old, new, message, hint):
    change(root / name, old, new, 1)
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(root)
    assert hint in caught.value.hint


def test_m1_classes_are_those_of_clips_in_a_split(root):
    change(root / "meta.csv", "\n", "\n", 1)
    with open(root / "meta.csv", "a") as meta:
        meta.write("audio/c.wav\tcellar\tulm-5\ta\n")
    dataset = read_dataset(root)
    assert dataset.classes == ["attic", "kitchen"]
    assert dataset.clips["split"].tolist()[-1] == "unused"


@pytest.mark.parametrize(
    "name",
    [
        *["../../secret.wav", "audio/../../secret.wav", "/etc/passwd", "..\\..\\secret.wav"],
        *["audio/../audio/a1.wav", "C:\\secret.wav", "c:/secret.wav", "\\\\server\\secret.wav", "./../secret.wav"],
    ],
)
@pytest.mark.parametrize("listed_in", ["meta.csv", "evaluation_setup/fold1_train.csv"])
def test_f1_13_names_that_lead_outside_are_refused(root, name, listed_in):
    shutil.copy(root / "audio/a1.wav", root.parent / "secret.wav")
    change(root / listed_in, "audio/a1.wav", name)
    with pytest.raises(DataError, match=r"line 2: .* leads out of the data set") as caught:
        read_dataset(root)
    assert "below the folder" in caught.value.hint


def test_f1_13_names_of_an_evaluation_list_that_lead_outside_are_refused(root):
    (root / "meta.csv").unlink()
    (root / "evaluation_setup/fold1_train.csv").unlink()
    (root / "evaluation_setup/fold1_test.csv").write_text("filename\naudio/a1.wav\n../secret.wav\n")
    with pytest.raises(DataError, match=r"line 3: \.\./secret\.wav leads out"):
        read_dataset(root)


def test_f1_13_links_to_files_elsewhere_are_counted(root):
    shutil.move(root / "audio", root.parent / "big disk")
    (root / "audio").symlink_to(root.parent / "big disk")
    (root / "audio/b2.wav").unlink()
    (root / "audio/b2.wav").symlink_to("b1.wav")
    assert "links_outside" not in [finding.code for finding in check_recordings(read_dataset(root))]
    shutil.move(root / "audio/a1.wav", root.parent / "elsewhere.wav")
    (root / "audio/a1.wav").symlink_to("../elsewhere.wav")
    assert read_rows(root) == EXPECTED
    found = [finding for finding in check_recordings(read_dataset(root)) if finding.code == "links_outside"]
    assert [(f.detail, f.severity) for f in found] == [
        ("1 clips are links to files outside the data set, such as audio/a1.wav", "warning")
    ]


def test_dots_within_a_name_are_a_name(root):
    (root / "audio/a1.wav").rename(root / "audio/a..1.wav")
    for path in lists(root)[:1] + lists(root)[2:]:
        change(path, "audio/a1.wav", "audio/a..1.wav")
    assert read_rows(root)[0][0] == "audio/a..1.wav"


def test_f3_5_a_zero_byte_is_named_with_its_line(root):
    change(root / "meta.csv", "audio/a2.wav", "audio/a\0.wav")
    done = run_cli("check-data", root)
    assert done.code == 2
    assert done.err.startswith(f"error: {root}/meta.csv, line 3: there is a zero byte")


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_lists", [("NFC", "NFC"), ("NFD", "NFD"), ("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_normal_form_are_those_of_the_files(root, on_disk, in_lists):
    spoken = "audio/küche é.wav"
    (root / "audio/a1.wav").rename(root / unicodedata.normalize(on_disk, spoken))
    for path, form in zip((root / "meta.csv", root / "evaluation_setup/fold1_train.csv"), in_lists, strict=True):
        change(path, "audio/a1.wav", unicodedata.normalize(form, spoken))
        change(path, "kitchen", unicodedata.normalize(form, "küche"))
    dataset = read_dataset(root)
    assert dataset.clips["filename"].tolist()[-1] == unicodedata.normalize(on_disk, spoken)
    assert dataset.classes == ["attic", "küche"]
    assert [f for f in check_recordings(dataset) if f.severity == "error"] == []


@pytest.mark.parametrize(
    ("encoding", "message", "hint"),
    [
        ("utf-16", "not a text file in UTF-8 but in UTF-16", "iconv -f UTF-16 -t UTF-8"),
        ("cp1252", r"not a text file in UTF-8 \(line 2\)", "iconv -f CP1252 -t UTF-8"),
    ],
)
def test_f3_7_a_table_that_excel_saved_is_answered_with_the_way_to_save_it(root, encoding, message, hint):
    text = (root / "meta.csv").read_text().replace("kitchen", "küche")
    (root / "meta.csv").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(root)
    assert hint in caught.value.hint
    assert "CSV UTF-8" in caught.value.hint


def test_f3_7_the_hint_for_an_own_folder_says_how_to_arrange_it(root, tmp_path):
    folder = tmp_path / "recordings"
    shutil.copytree(root / "audio", folder)
    with pytest.raises(DataError, match="holds no data set") as caught:
        read_dataset(folder)
    assert "own recordings go into a folder per class, or a table lists them" in caught.value.hint
    (folder / "TUT.audio.1.zip").touch()
    with pytest.raises(DataError, match="holds no data set") as caught:
        read_dataset(folder)
    assert "unpack all archives" in caught.value.hint
    (root / "meta.csv").unlink()
    with pytest.raises(DataError, match=r"meta\.csv: No such file") as caught:
        read_dataset(root)
    assert "a table with the columns filename, scene_label" in caught.value.hint


def test_a_list_that_is_not_a_file(root):
    (root / "meta.csv").unlink()
    os.mkfifo(root / "meta.csv")
    with pytest.raises(DataError, match=r"meta\.csv is not a file"):
        read_dataset(root)


@pytest.mark.parametrize("text", ['""\n', '""\t""\naudio/a1.wav\n'])
def test_a_first_line_of_empty_quotes_is_a_clip_without_a_name(root, text):
    (root / "meta.csv").write_text(text)
    with pytest.raises(DataError, match=r"meta\.csv, line 1:  has no file name"):
        read_dataset(root)


def test_a_folder_that_may_not_be_entered_is_not_a_data_set(root, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    (disk / "lost+found").mkdir(parents=True)
    shutil.copytree(root, disk / "set")
    real_stat = os.stat

    def refuse(path, *arguments, **options):
        if "lost+found" in str(path) and not str(path).endswith("lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert read_dataset(disk).root == disk / "set"


NOT_UTF8 = os.fsdecode(b"audio/caf\xe9.wav")


def test_names_on_the_disk_that_are_not_utf8(root):
    shutil.copy(root / "audio/a1.wav", root / NOT_UTF8)
    done = run_cli("check-data", root)
    assert done.code == 0
    assert "audio/caf\ufffd.wav: no list names it" in done.out
    for path in lists(root):
        path.unlink()
    with pytest.raises(DataError, match=r"the name of audio/caf.\.wav is not UTF-8") as caught:
        read_dataset(root)
    assert caught.value.hint == "rename the file"


def test_a8_files_of_other_kinds_are_named_once(root):
    for name in ("d.m4a", "e.M4A", "notes.txt", "LIESMICH", ".hidden"):
        (root / "audio" / name).touch()
    found = [finding for finding in check_recordings(read_dataset(root)) if finding.code == "other_files"]
    assert [(f.subject, f.severity) for f in found] == [(".m4a, .txt, no ending", "warning")]
    assert found[0].detail == (
        "4 files of other kinds were left out, such as audio/LIESMICH; ffmpeg -i audio/d.m4a audio/d.wav converts one"
    )


OFFICIAL = [
    *[
        [f"audio/{scene}-ulm-{k}-{k}-a.wav", scene, f"ulm-{k}", "a"]
        for scene in ("bus", "tram", "park")
        for k in (1, 2)
    ],
    ["audio/airport-ulm-3-3-a.wav", "airport", "ulm-3", "a"],
]


def write_official(root: Path, **labels: str) -> Path:
    """Write lists of official clips; `labels` replaces scenes."""
    rows = [[row[0], labels.get(row[1], row[1]), *row[2:]] for row in OFFICIAL]
    (root / "evaluation_setup").mkdir(parents=True)
    (root / "meta.csv").write_text(table([HEADER, *rows]))
    (root / "evaluation_setup/fold1_train.csv").write_text(table([HEADER[:2], *(row[:2] for row in rows[::2])]))
    (root / "evaluation_setup/fold1_test.csv").write_text(table([HEADER[:1], *(row[:1] for row in rows[1::2])]))
    return root


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({"bus": "vehicle", "tram": "vehicle"}, ["airport", "park", "vehicle"]),
        ({"bus": "tram"}, ["airport", "park", "tram"]),
        ({"park": "public_park"}, ["airport", "bus", "public_park", "tram"]),
        ({"airport": "hall"}, ["bus", "hall", "park", "tram"]),
    ],
)
def test_m2_labels_of_ones_own_on_official_clips(tmp_path, labels, classes):
    assert read_dataset(write_official(tmp_path, **labels)).classes == classes


@pytest.mark.parametrize(("old", "new"), [("bus", "buss"), ("park", "prak"), ("tram", "bus"), ("airport", "airprot")])
def test_m2_one_mistyped_label_is_named(tmp_path, old, new):
    root = write_official(tmp_path)
    for path in (root / "meta.csv", root / "evaluation_setup/fold1_train.csv"):
        change(path, f"\t{old}", f"\t{new}", 1)
    with pytest.raises(DataError, match=f"audio/{old}-.* has the unknown label '{new}'"):
        read_dataset(root)


def test_m2_a_label_of_one_clip_is_a_warning(tmp_path):
    dataset = read_dataset(write_official(tmp_path, airport="hall"))
    found = [(f.subject, f.severity) for f in check_recordings(dataset) if f.code == "single_clip"]
    assert found == [("hall", "warning")]


def test_m5_any_script_and_blanks_in_a_path(root, tmp_path):
    place = tmp_path / "学习 DCASE 2018" / "exp (1)"
    shutil.copytree(root, place)
    (place / "audio/b2.wav").unlink()
    done = run_cli("check-data", place, "--json", "--max-bad", 1)
    assert json.loads(done.out)["bad"] == ["audio/b2.wav"]
    assert done.code == 0


@pytest.mark.parametrize(
    ("labels", "device", "ending", "layout"),
    [
        ({}, "a", ".wav", "TAU 2019"),
        (
            dict.fromkeys(("bus", "tram"), "transportation") | {"park": "outdoor", "airport": "indoor"},
            "a",
            ".wav",
            "TAU 2020 3Class",
        ),
        ({}, "s3", ".wav", "TAU 2020 Mobile"),
        ({}, "s3", "-0.wav", "TAU 2022 Mobile"),
    ],
)
def test_f4_a_data_set_is_called_by_its_year(tmp_path, labels, device, ending, layout):
    root = write_official(tmp_path, **labels)
    for path in lists(root):
        path.write_text(path.read_text().replace("\ta\n", f"\t{device}\n").replace(".wav", ending))
    assert read_dataset(root).layout == layout
