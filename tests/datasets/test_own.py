"""Own recordings: folders per class and tables of any kind give the same clips; splits never divide a group."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.audio import make_noise, write_sound
from sklearn.model_selection import StratifiedGroupKFold

from asc_mrkd.datasets import Reading, read_dataset
from asc_mrkd.datasets.check import compare_lists
from asc_mrkd.datasets.own import describe_own
from asc_mrkd.datasets.splits import make_folds
from asc_mrkd.errors import ConfigError, DataError, MissingExtraError

RATE = 8000


def write_clip(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_sound(path, make_noise(1, round(seconds * RATE)), RATE)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four kitchens and four gardens, with names as people give them."""
    for label in ("厨房", "garden"):
        for number in range(4):
            write_clip(tmp_path / "own" / label / f"录音 {number}.{('wav', 'WAV', 'flac', 'OGG')[number]}")
    return tmp_path / "own"


def facts(dataset) -> list[tuple[str, str]]:
    """Return the name of the file and the label of every clip."""
    return sorted((Path(name).name, label) for name, label in dataset.clips[["filename", "label"]].values)


def write_table(folder: Path, name: str, separator: str = ",", columns: str = "File,Category") -> Path:
    lines = [columns.replace(",", separator)]
    for path in sorted(folder.glob("*/*")):
        lines.append(separator.join([path.relative_to(folder).as_posix(), path.parent.name]))
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def test_a_folder_per_class_is_read_without_hidden_files(folder):
    write_clip(folder / ".trash" / "a.wav")
    write_clip(folder / "garden" / "._a.wav")
    write_clip(folder / "$RECYCLE.BIN" / "a.wav")
    dataset = read_dataset(folder)
    assert (dataset.layout, dataset.classes, dataset.root) == ("folders", ["garden", "厨房"], folder)
    assert len(dataset.clips) == 8
    assert dataset.clips["split"].value_counts().to_dict() == {"train": 6, "test": 2}
    assert dataset.understood[1] == "none: any two clips may be divided between training and test"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_gives_the_clips_of_the_folders(folder, separator):
    from_folders = read_dataset(folder)
    table = write_table(folder, "list.csv", separator)
    from_table = read_dataset(table)
    assert from_table.clips.equals(from_folders.clips)
    assert read_dataset(folder).layout == "table", "a folder with one table is read by it"
    frame = pd.read_csv(table, sep=separator)
    assert read_dataset(frame, Reading(root=folder)).clips.equals(from_folders.clips)
    assert read_dataset(frame.rename(columns=str.upper), Reading(root=folder)).clips.equals(from_folders.clips)


def test_the_line_that_tells_excel_the_separator_is_not_the_header(folder):
    table = write_table(folder, "list.csv", ";")
    expected = read_dataset(table).clips
    table.write_text("sep=;\n" + table.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_dataset(table).clips.equals(expected)
    table.write_text("sep=;\n", encoding="utf-8")
    with pytest.raises(DataError, match="lists no clip"):
        read_dataset(table)


def test_files_are_found_near_the_table_and_without_their_suffix(folder):
    table = pd.DataFrame([(path.name.rpartition(".")[0], "garden") for path in sorted((folder / "garden").iterdir())])
    table.columns = ["id", "class"]
    table.loc[0, "class"] = "yard"
    (folder / "meta").mkdir()
    table.to_csv(folder / "meta" / "clips.tsv", sep="\t", index=False)
    dataset = read_dataset(folder / "meta" / "clips.tsv", Reading(path_column="ID"))
    assert dataset.root == folder / "garden"
    assert dataset.clips["filename"].tolist()[:3] == ["录音 0.wav", "录音 1.WAV", "录音 2.flac"]


URBAN_SOUND = [
    "slice_file_name,fsID,start,end,salience,fold,classID,class",
    "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark",
    "100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing",
    "100263-2-0-121.wav,100263,60.5,64.5,1,5,2,children_playing",
    "100648-1-0-0.wav,100648,4.823402,5.471927,2,10,1,car_horn",
    "102305-6-0-0.wav,102305,0.0,2.611610,1,1,6,gun_shot",
]
"""The first lines of UrbanSound8K's table, as published but for some rows."""


@pytest.fixture
def urban_sound(tmp_path) -> Path:
    """The layout of UrbanSound8K with five clips."""
    root = tmp_path / "UrbanSound8K"
    for name, *_, fold, _, _ in (line.split(",") for line in URBAN_SOUND[1:]):
        write_clip(root / "audio" / f"fold{fold}" / name)
    (root / "audio" / "fold1" / ".DS_Store").touch()
    (root / "metadata").mkdir()
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(URBAN_SOUND) + "\n")
    return root


@pytest.mark.parametrize("data", ["", "metadata/UrbanSound8K.csv"])
def test_urban_sound_is_read_as_published(urban_sound, data):
    dataset = read_dataset(urban_sound / data)
    columns = ["filename", "label", "identifier", "source_label", "split", "fold"]
    assert dataset.clips.columns.tolist() == columns
    assert dataset.clips[["filename", "label", "identifier", "split", "fold"]].values.tolist() == [
        ["fold1/102305-6-0-0.wav", "gun_shot", "102305", "test", "1"],
        ["fold10/100648-1-0-0.wav", "car_horn", "100648", "train", "10"],
        ["fold5/100032-3-0-0.wav", "dog_bark", "100032", "train", "5"],
        ["fold5/100263-2-0-117.wav", "children_playing", "100263", "train", "5"],
        ["fold5/100263-2-0-121.wav", "children_playing", "100263", "train", "5"],
    ]
    assert dataset.understood[0].split("; ") == [
        "slice_file_name, class as label, fsID as group, fold as fold",
        f"files below {urban_sound / 'audio'}",
        "start and end are places in the source, not in the file, and are not used",
    ]
    assert dataset.understood[1] == "4 by fsID, 1 to 2 clips in each, never divided"
    assert not [finding for finding in compare_lists(dataset) if finding.code in ("extra_file", "other_files")]


@pytest.fixture
def speech_commands(tmp_path) -> Path:
    """The layout of Speech Commands with six clips."""
    root = tmp_path / "speech_commands"
    for name in (
        "bed/0_nohash_0",
        "bed/1_nohash_0",
        "bed/2_nohash_0",
        "cat/0_nohash_0",
        "cat/1_nohash_0",
        "cat/2_nohash_0",
    ):
        write_clip(root / f"{name}.wav")
    write_clip(root / "_background_noise_" / "pink_noise.wav")
    (root / "testing_list.txt").write_text("bed/1_nohash_0.wav\ncat/1_nohash_0.wav\nmarvin/1_nohash_0.wav\n")
    (root / "validation_list.txt").write_text("bed/2_nohash_0.wav\n")
    return root


def test_speech_commands_keep_their_lists(speech_commands):
    dataset = read_dataset(speech_commands)
    assert dataset.classes == ["bed", "cat"]
    assert dataset.clips["split"].tolist() == ["train", "test", "unused", "train", "test", "train"]
    assert dataset.understood[0] == "a folder per class, splits by testing_list.txt and validation_list.txt"
    assert [(found.code, found.subject) for found in compare_lists(dataset)] == [
        ("extra_file", "_background_noise_/pink_noise.wav")
    ]
    made = read_dataset(speech_commands, Reading(split_column="none"))
    assert made.understood[2].startswith("made with seed 0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cow/1.wav\n", "validation_list.txt names none of the files"),
        ("bed/1_nohash_0.wav", "bed/1_nohash_0.wav is in testing_list.txt and in validation_list.txt"),
    ],
)
def test_lists_that_do_not_fit_the_folders_are_refused(speech_commands, text, message):
    (speech_commands / "validation_list.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_dataset(speech_commands)


def test_the_tables_of_bird_clef_and_fsd50k(tmp_path):
    birds = pd.DataFrame(
        [
            ("acafly", "[]", "Ann", "XC1.ogg"),
            ("amecro", "['acafly']", "Bob", "XC2.ogg"),
            ("amecro", "[]", "Bob", "XC3.ogg"),
        ],
        columns=["primary_label", "secondary_labels", "author", "filename"],
    )
    for label, name in birds[["primary_label", "filename"]].values:
        write_clip(tmp_path / "birds" / "train_short_audio" / label / name)
    birds.to_csv(tmp_path / "birds" / "train_metadata.csv", index=False)
    dataset = read_dataset(tmp_path / "birds" / "train_metadata.csv")
    assert (dataset.classes, dataset.root) == (["acafly", "amecro"], tmp_path / "birds" / "train_short_audio")

    sounds = [(1, "Bark,Dog", "train"), (2, "Dog", "val"), (3, "Rain", "train")]
    table = pd.DataFrame(sounds, columns=["fname", "labels", "split"])
    for number in table["fname"]:
        write_clip(tmp_path / "FSD50K.dev_audio" / f"{number}.wav")
    (tmp_path / "FSD50K.ground_truth").mkdir()
    table.to_csv(tmp_path / "FSD50K.ground_truth" / "dev.csv", index=False)
    dataset = read_dataset(tmp_path / "FSD50K.ground_truth" / "dev.csv")
    assert dataset.files == ["1.wav", "2.wav", "3.wav"]
    found = {finding.code: finding.subject for finding in compare_lists(dataset)}
    assert found["lists_of_classes"] == "Bark,Dog"


def test_times_of_a_table_are_used_or_not_as_said(urban_sound):
    table = urban_sound / "metadata" / "UrbanSound8K.csv"
    places = read_dataset(table, Reading(start_column="start")).clips
    assert places["filename"].tolist()[0] == "fold1/102305-6-0-0.wav#t=0,2.612"
    table.write_text(table.read_text().replace("slice_file_name", "file"))
    clips = read_dataset(table, Reading(start_column="none")).clips
    assert clips["filename"].tolist()[0] == "fold1/102305-6-0-0.wav"
    table.write_text(table.read_text().replace("start,end", "from,end"))
    clips = read_dataset(table, Reading(start_column="From"))
    assert clips.clips["filename"].tolist()[0] == "fold1/102305-6-0-0.wav#t=0,2.612"
    assert clips.understood[0].startswith(
        "file, class as label, fsID as group, fold as fold, from as start, end as end; "
    )


def test_files_are_found_below_a_root_by_names_that_are_there_once(urban_sound, tmp_path):
    table = pd.DataFrame({"file": ["102305-6-0-0", "100032-3-0-0.wav", "gone.wav"], "label": ["a", "b", "a"]})
    dataset = read_dataset(table, Reading(root=tmp_path))
    folder = "UrbanSound8K/audio"
    assert sorted(dataset.files) == [f"{folder}/fold1/102305-6-0-0.wav", f"{folder}/fold5/100032-3-0-0.wav", "gone.wav"]
    write_clip(urban_sound / "audio" / "fold2" / "102305-6-0-0.wav")
    with pytest.raises(DataError, match=r"102305-6-0-0 may be .*fold1/102305-6-0-0.wav or .*fold2/") as caught:
        read_dataset(table, Reading(root=tmp_path))
    assert caught.value.hint == "write the folder in front of the name"


@pytest.mark.parametrize("table", ["list.csv", "meta/list.csv"])
def test_names_without_a_folder_are_found_in_several_folders_near_the_table(tmp_path, table):
    for name in ("a/1.wav", "a/2.wav", "b/3.wav", "c/4.flac"):
        write_clip(tmp_path / name)
    (tmp_path / table).parent.mkdir(exist_ok=True)
    (tmp_path / table).write_text("file,label\n1,x\n2,y\n3.wav,x\n4,y\n")
    dataset = read_dataset(tmp_path / table)
    assert (dataset.root, dataset.files) == (tmp_path, ["a/1.wav", "a/2.wav", "b/3.wav", "c/4.flac"])
    write_clip(tmp_path / "b" / "2.wav")
    with pytest.raises(DataError, match=r"2 may be a/2\.wav or b/2\.wav below"):
        read_dataset(tmp_path / table)


def test_a_missing_file_is_not_taken_from_another_folder(folder):
    write_clip(folder / "old" / "b.wav")
    write_clip(folder / "a.wav")
    table = pd.DataFrame({"file": ["a.wav", "b.wav"], "label": ["x", "y"]})
    assert read_dataset(table, Reading(root=folder)).files == ["a.wav", "b.wav"]


def test_recordings_of_the_next_project_are_not_taken(tmp_path):
    write_clip(tmp_path / "other" / "audio" / "1.wav")
    write_clip(tmp_path / "other" / "audio" / "2.wav")
    (tmp_path / "mine").mkdir()
    table = tmp_path / "mine" / "list.csv"
    table.write_text("file,label\n1.wav,a\n2.wav,b\n")
    with pytest.raises(DataError, match="there is no file 1"):
        read_dataset(table)


def test_a_name_that_is_no_name_is_shown_short(tmp_path):
    table = pd.DataFrame({"audio": [{"bytes": bytes(9999), "path": "a.wav"}] * 2, "label": ["a", "b"]})
    with pytest.raises(DataError) as caught:
        read_dataset(table)
    assert len(str(caught.value)) < 1000


def test_files_on_several_drives_are_refused(folder, monkeypatch):
    def refuse(paths):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr("os.path.commonpath", refuse)
    table = pd.DataFrame({"file": ["a.wav", "/elsewhere/b.wav"], "label": ["a", "b"]})
    with pytest.raises(DataError, match="the files lie on several drives"):
        read_dataset(table, Reading(root=folder))


def test_a_table_in_the_folder_meta_is_read_if_it_lists_clips(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    (folder / "meta").mkdir()
    (folder / "meta" / "weather.csv").write_text("day,rain\n1,0\n")
    assert read_dataset(folder).layout == "folders"
    pd.DataFrame({"file": paths, "class": list("abcdabcd")}).to_csv(folder / "meta" / "clips.csv", index=False)
    assert read_dataset(folder).classes == ["a", "b", "c", "d"]


def test_absolute_paths_and_paths_above_the_table(folder):
    paths = sorted(folder.glob("*/*"))
    table = pd.DataFrame({"path": [str(path) for path in paths], "label": [path.parent.name for path in paths]})
    assert facts(read_dataset(table)) == facts(read_dataset(folder))
    (folder / "lists").mkdir()
    table["path"] = ["../" + path.relative_to(folder).as_posix() for path in paths]
    table.to_csv(folder / "lists" / "a.csv", index=False)
    assert facts(read_dataset(folder / "lists" / "a.csv")) == facts(read_dataset(folder))


def test_nothing_is_searched_but_the_folders_of_listed_files(folder, tmp_path):
    write_clip(tmp_path / "unrelated" / "c.wav")
    write_clip(tmp_path / "elsewhere" / "a.wav")
    write_clip(tmp_path / "elsewhere" / "b.wav")
    paths = [*sorted((folder / "garden").iterdir()), tmp_path / "elsewhere" / "a.wav"]
    table = pd.DataFrame({"file": [str(path) for path in paths], "label": ["a", "b"] * 2 + ["a"] * (len(paths) - 4)})
    dataset = read_dataset(table, Reading(root=folder))
    assert dataset.root == tmp_path
    found = [finding.subject for finding in compare_lists(dataset) if finding.code == "extra_file"]
    assert found == ["elsewhere/b.wav"]


def test_splits_above_the_classes(folder, tmp_path):
    for split in ("Train", "val", "test"):
        for path in folder.glob("*/*"):
            write_clip(tmp_path / "split" / split / path.parent.name / path.name)
    dataset = read_dataset(tmp_path / "split")
    assert dataset.clips["split"].value_counts().to_dict() == {"test": 8, "train": 8, "unused": 8}
    (tmp_path / "split" / "test").rename(tmp_path / "rest")
    dataset = read_dataset(tmp_path / "split")
    assert dataset.clips["split"].value_counts().to_dict() == {"test": 8, "train": 8}
    assert dataset.understood[2] == "given; validation clips are for testing"


def test_development_clips_are_for_training_where_no_others_are(folder, tmp_path):
    for split in ("Development", "evaluation"):
        for path in folder.glob("*/*"):
            write_clip(tmp_path / "split" / split / path.parent.name / path.name)
    dataset = read_dataset(tmp_path / "split")
    above = dataset.clips["filename"].str.split("/").str[0]
    assert dict(zip(above, dataset.clips["split"], strict=True)) == {"Development": "train", "evaluation": "test"}
    assert dataset.understood[2].startswith("given; development or validation clips are for training")


def test_folders_without_sound_next_to_train_and_test_change_nothing(folder, tmp_path):
    for split in ("train", "test"):
        for path in folder.glob("*/*"):
            write_clip(tmp_path / "split" / split / path.parent.name / path.name)
    expected = read_dataset(tmp_path / "split")
    (tmp_path / "split" / "plots").mkdir()
    (tmp_path / "split" / "plots" / "a.png").touch()
    (tmp_path / "split" / "__MACOSX" / "train").mkdir(parents=True)
    dataset = read_dataset(tmp_path / "split")
    assert dataset.classes == ["garden", "厨房"]
    assert dataset.clips.equals(expected.clips)
    write_clip(tmp_path / "split" / "more" / "a.wav")
    with pytest.raises(DataError, match="has the folders test and train, but also sound in more"):
        read_dataset(tmp_path / "split")


def test_folders_of_splits_are_not_classes(folder, tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="holds no data set: neither"):
        read_dataset(tmp_path / "set")
    folder.rename(tmp_path / "set" / "Train")
    write_clip(tmp_path / "set" / "Test" / "c.wav")
    with pytest.raises(DataError, match="holds no data set") as caught:
        read_dataset(tmp_path / "set")
    assert caught.value.hint == f"{tmp_path / 'set' / 'Train'} in it is a folder per class: name that"
    shutil.rmtree(tmp_path / "set" / "Train")
    write_clip(tmp_path / "set" / "Train" / "a.wav")
    with pytest.raises(DataError, match="holds no data set") as caught:
        read_dataset(tmp_path / "set")
    assert "a table lists them" in caught.value.hint


def test_a_folder_with_one_class_and_a_table_that_is_missing_are_called_so(tmp_path):
    write_clip(tmp_path / "kitchen" / "a.wav")
    with pytest.raises(DataError, match="its sound files are not in folders of at least two classes"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match=r"list\.csv: no such file or folder"):
        read_dataset(tmp_path / "list.csv")


def test_a_split_is_made_where_all_is_for_training(folder, tmp_path):
    (tmp_path / "parts").mkdir()
    folder.rename(tmp_path / "parts" / "train")
    dataset = read_dataset(tmp_path / "parts")
    assert dataset.clips["split"].value_counts().to_dict() == {"train": 6, "test": 2}
    assert dataset.understood[0] == "folders train with a folder per class in each"
    assert dataset.understood[2].startswith("made with seed 0")


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    for name in ("train/monday/a.wav", "train/monday/b.wav", "train/friday/a.wav", "bus/a.wav", "bus/b.wav"):
        write_clip(tmp_path / name)
    assert read_dataset(tmp_path).classes == ["bus", "train"]


@pytest.mark.parametrize(
    "field", ["path_column", "label_column", "group_column", "split_column", "fold_column", "root"]
)
def test_options_of_a_table_are_refused_for_a_folder_per_class(folder, field):
    option = f"--{field.replace('_', '-')}"
    with pytest.raises(DataError, match=f"not a table: {option} speaker has no effect") as caught:
        read_dataset(folder, Reading(**{field: "speaker"}))
    assert f"leave {option} out" in caught.value.hint


def test_none_ignores_the_groups_and_the_splits_of_folders(folder, tmp_path):
    for split in ("train", "test"):
        for path in folder.glob("*/*"):
            write_clip(tmp_path / "split" / split / path.parent.name / "monday" / path.name)
    dataset = read_dataset(tmp_path / "split", Reading(group_column="none", split_column="none", fold_column="none"))
    assert set(dataset.clips["identifier"]) == {""}
    assert dataset.understood[2].startswith("made with seed 0")


def test_splits_below_the_classes_are_not_taken_for_groups(tmp_path):
    for name in ("x/Train/a", "x/test/b", "y/Train/c", "y/test/deep/d"):
        write_clip(tmp_path / f"{name}.wav")
    with pytest.raises(DataError, match="has folders of splits below those of the classes, as x/Train"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, Reading(split_column="none")).clips["identifier"].nunique() == 4
    write_clip(tmp_path / "y/garage/e.wav")
    assert read_dataset(tmp_path).clips["identifier"].nunique() == 5


def test_folders_below_the_classes_are_groups_that_are_never_divided(tmp_path):
    for label in ("a", "b"):
        for session in range(4):
            for number in range(3):
                write_clip(tmp_path / label / f"session{session}" / f"{number}.wav")
    dataset = read_dataset(tmp_path)
    assert dataset.clips["identifier"].unique().tolist()[:2] == ["a/session0", "a/session1"]
    assert (dataset.clips.groupby("identifier")["split"].nunique() == 1).all()
    assert dataset.clips["split"].value_counts().to_dict() == {"train": 18, "test": 6}


def test_columns_are_found_or_said(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"Audio File": paths, "kind": ["x", "y"] * 4, "Session": list("aabbccdd"), "Fold": [1, 2] * 4})
    reading = Reading(path_column="audio file", label_column="kind", root=folder)
    dataset = read_dataset(table, reading)
    assert dataset.understood[0] == "Audio File, kind as label, Session as group, Fold as fold"
    assert dataset.understood[2] == "fold 1 of 1, 2 is for testing"
    assert dataset.clips.columns.tolist() == ["filename", "label", "identifier", "source_label", "split", "fold"]
    by_fold = read_dataset(table, Reading(**{**vars(reading), "test_fold": "2", "group_column": "none"}))
    assert (by_fold.clips["split"] == np.where(by_fold.clips["fold"] == "2", "test", "train")).all()
    assert set(by_fold.clips["identifier"]) == {""}
    without = read_dataset(table, Reading(**{**vars(reading), "fold_column": "none"}))
    assert "fold" not in without.clips
    assert without.understood[2].startswith("made with seed 0")


def test_capitals_tell_two_columns_apart(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "kind": ["a", "b"] * 4, "Kind": ["c"] * 4 + ["d"] * 4})
    for column, classes in {"kind": ["a", "b"], "Kind": ["c", "d"], "KIND": ["a", "b"]}.items():
        assert read_dataset(table, Reading(root=folder, label_column=column)).classes == classes


@pytest.mark.parametrize("column", ["split", "fold"])
def test_groups_and_recordings_that_the_data_divide_are_named(folder, column):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "label": ["a", "b"] * 4, "group": list("wwxxyyzz")})
    table[column] = ["train", "test"] + ["train"] * 4 + ["test"] * 2
    dataset = read_dataset(table, Reading(root=folder))
    assert dataset.understood[1] == "4 by group, 2 clips in each, 1 divided between training and test"
    found = {finding.code: finding.subject for finding in compare_lists(dataset)}
    assert found["location_in_both_folds"] == "w"
    parts = table.drop(columns="group").assign(file=paths[:4] * 2, start=[0] * 4 + [0.1] * 4, label=["a", "b"] * 4)
    dataset = read_dataset(parts, Reading(root=folder))
    assert dataset.understood[1].endswith("between training and test, and the clips of 3 are")
    found = [finding.subject for finding in compare_lists(dataset) if finding.code == "location_in_both_folds"]
    assert found == [paths[1], *paths[2:4]]


def test_a_column_called_line_is_a_column_as_any_other(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "label": ["a", "b"] * 4, "line": list("44556677")})
    dataset = read_dataset(table, Reading(root=folder, group_column="line"))
    assert sorted(set(dataset.clips["identifier"])) == ["4", "5", "6", "7"]
    table.to_csv(folder / "list.csv", index=False)
    assert read_dataset(folder / "list.csv", Reading(group_column="line")).clips.equals(dataset.clips)
    table.loc[6, "label"] = ""
    table.to_csv(folder / "list.csv", index=False)
    with pytest.raises(DataError, match=r"line 8: .* has no label"):
        read_dataset(folder / "list.csv", Reading(group_column="line"))


def test_a_clip_without_a_fold_is_refused(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "label": ["a", "b"] * 4, "fold": ["1", "2", "1", "", "2", "1", "2", "1"]})
    with pytest.raises(DataError, match=r"the table, row 3: .* has no fold") as caught:
        read_dataset(table, Reading(root=folder))
    assert "--fold-column none" in caught.value.hint
    with pytest.raises(DataError, match=r"the table, row fourth: .* has no fold"):
        read_dataset(table.rename(index={3: "fourth"}), Reading(root=folder))
    assert "fold" not in read_dataset(table, Reading(root=folder, fold_column="none")).clips
    assert "fold" not in read_dataset(table.assign(fold=""), Reading(root=folder)).clips


@pytest.mark.parametrize("share", [0, 0.7, float("nan")])
def test_a_share_of_the_test_that_cannot_be_is_refused(share):
    with pytest.raises(ConfigError, match=f"--test-share {share:g} is not between 0.01 and 0.5"):
        Reading(test_share=share)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"label_column": "category2"},
            "has no column 'category2': its columns are file, category, x, one",
            "'category'",
        ),
        ({"path_column": "zzz"}, "has no column 'zzz'", "known: file, category, x, one"),
        ({"test_fold": "4"}, "--test-fold 4: the data have no folds", "--fold-column"),
        ({"fold_column": "x", "test_fold": "9"}, "there is no fold '9'", "known: 0, 1"),
        ({"split_column": "x"}, "the table, row 0: .* has the split '0'", "known: train, training"),
        ({"root": "absent"}, "--root absent: no such folder", "name the folder"),
        ({"group_column": "one"}, "all clips are of one group, z: none is left to test on", "smaller groups"),
    ],
)
def test_what_does_not_fit_a_table_is_named(folder, changes, message, hint):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "category": ["a", "b"] * 4, "x": ["0", "1"] * 4, "one": "z"})
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(table, Reading(**{"root": folder, **changes}))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n", "lists no clip"),
        ("a.wav,kitchen\nb.wav,garden\n", "the first line is a clip"),
        ("file,label\na.wav\n", "line 2: 1 columns instead of 2"),
        ("file,label\na.wav,b,c\n", "line 2: 3 columns instead of 2"),
        ("file,label\n,kitchen\n", "line 2:  has no file name"),
        ("file,label\na.wav,\n", "line 2: a.wav has no label"),
        ("file,text\na.wav,b\n", "has no column for the classes: its columns are file, text"),
        ("file,label\nx.wav,b\ny.wav,c\n", "there is no file x.wav below"),
        ("file,label\na.wav,b\n", "there is only the class b"),
        ("file,label\na.wav,b\na.wav,c\n", "line 3: a.wav was listed above with other entries"),
        (
            "file,label\na.wav,b\nb.wav,prediction\n",
            "a class cannot be called 'prediction', because predictions.csv has",
        ),
        ("file,label,split\na.wav,b,Train\nb.wav,c,trian\n", "list.csv, line 3: b.wav has the split 'trian'"),
        ("file,label,start\na.wav,b,soon\n", "line 2: a.wav has the start 'soon'"),
        ("file,label,start,end\na.wav,b,2,1\n", "line 2: a.wav ends before it starts"),
        ("file,label,Offset,duration\na.wav,b,2,1\n", "has the column 'Offset', but none for the start"),
        ('file,label\n"a.wav,b\n', "columns instead of 2|unexpected end|lists no clip"),
        ('file,label,note\na.wav,b,"loud\nb.wav,c,\n', "line 3: unexpected end"),
        ('file,label,note\na.wav,b,"loud\nb.wav,c,\na.wav,b,"loud\n', "line 4: ',' expected after"),
        ("file,label,start,duration\na.wav,b,1,soon\n", "line 2: a.wav has the duration 'soon'"),
    ],
)
def test_damaged_tables_are_refused_with_their_line(tmp_path, text, message):
    for name in ("a.wav", "b.wav"):
        write_clip(tmp_path / name)
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(tmp_path / "list.csv")
    assert caught.value.hint


def test_parts_of_recordings_stay_with_their_recording(tmp_path):
    for name in "abcd":
        write_clip(tmp_path / f"{name}.wav", 1.0)
    rows = [(f"{name}.wav", label, start, "") for name in "abcd" for label, start in (("x", "0,0"), ("y", "0,5"))]
    pd.DataFrame(rows, columns=["file", "label", "onset", "offset"]).to_csv(tmp_path / "list.csv", sep=";", index=False)
    dataset = read_dataset(tmp_path / "list.csv")
    clips = dataset.clips
    assert dataset.understood[1].endswith("divided between training and test, the clips of one never")
    assert clips["filename"].tolist()[:2] == ["a.wav#t=0", "a.wav#t=0.5"]
    assert clips["start"].tolist()[:2] == [0.0, 0.5]
    assert (clips.groupby("recording")["split"].nunique() == 1).all()


def test_a_duration_gives_the_end_where_there_is_a_start_and_no_end(tmp_path):
    rows = [("a.wav", "x", 0.25, 0.5, 1), ("b.wav", "y", None, 0.25, 1), ("b.wav", "x", 0.5, None, 1)]
    for name in "ab":
        write_clip(tmp_path / f"{name}.wav", 1.0)
    table = pd.DataFrame(rows, columns=["file", "label", "onset", "duration", "offset"])

    def names(*columns: str) -> list[str]:
        return read_dataset(table.drop(columns=[*columns]), Reading(root=tmp_path)).clips["filename"].tolist()

    assert names("offset") == ["a.wav#t=0.25,0.75", "b.wav#t=0,0.25", "b.wav#t=0.5"]
    assert names() == ["a.wav#t=0.25,1", "b.wav#t=0,1", "b.wav#t=0.5,1"]
    table = table[:2]
    assert names("onset", "offset") == ["a.wav", "b.wav"], "the duration of a whole recording cuts nothing"


@pytest.mark.parametrize("reading", [Reading(), Reading(root=".")])
def test_a_table_without_rows_lists_no_clip(reading):
    with pytest.raises(DataError, match="the table lists no clip"):
        read_dataset(pd.DataFrame({"file": [], "label": []}), reading)


def test_links_to_folders_are_followed_and_circles_are_not(folder, tmp_path):
    write_clip(tmp_path / "far" / "take1" / "z.wav")
    (folder / "garden" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(folder / "garden")
    (tmp_path / "far" / "self").symlink_to(tmp_path / "far")
    names = read_dataset(folder).clips["filename"].tolist()
    assert [name for name in names if "far" in name] == ["garden/far/take1/z.wav"]
    assert len(names) == 9


def test_a_table_that_hides_a_folder_per_class_is_named(folder):
    (folder / "weather.csv").write_text("day,rain\n1,0\n2,1\n")
    with pytest.raises(DataError, match="has no column for the file names: its columns are day, rain") as caught:
        read_dataset(folder)
    assert f"without weather.csv in it, {folder} is read as a folder per class" in caught.value.hint


def test_folds_are_not_classes_and_names_fit_a_table(tmp_path):
    for number in (1, 2, 10):
        write_clip(tmp_path / "audio" / f"fold{number}" / "a.wav")
    with pytest.raises(DataError, match="a folder per fold, not per class: fold1, fold10, fold2"):
        read_dataset(tmp_path)
    write_clip(tmp_path / "other" / "p" / "only.wav")
    write_clip(tmp_path / "other" / "q" / "b.wav")
    (tmp_path / "other" / "p").rename(tmp_path / "other" / os.fsdecode(b"p\xff"))
    with pytest.raises(DataError, match=r"the name of p./only\.wav is not UTF-8"):
        read_dataset(tmp_path / "other")
    (tmp_path / "other" / "list.csv").write_text("file,label\nonly.wav,x\nb.wav,y\n")
    with pytest.raises(DataError, match=r"the name of p./only\.wav is not UTF-8"):
        read_dataset(tmp_path / "other" / "list.csv")
    write_clip(tmp_path / "audio" / "park" / "a\r.wav")
    with pytest.raises(DataError, match=r"'park/a\\r\.wav' has a line break in it"):
        read_dataset(tmp_path)


def test_a_parquet_gives_the_clips_of_the_same_table_as_text(tmp_path):
    pytest.importorskip("pyarrow")
    names = [f"录音 {number}.wav" for number in range(8)]
    for name in names:
        write_sound(tmp_path / name, make_noise(1, RATE), RATE)
    table = pd.DataFrame({"Path": names, "Category": pd.Categorical(["车", "院子"] * 4), "take": np.arange(8) // 2})
    table.to_parquet(tmp_path / "list.parquet")
    table.to_csv(tmp_path / "list.csv", index=False)
    reading = Reading(group_column="take")
    found = read_dataset(tmp_path / "list.parquet", reading).clips
    pd.testing.assert_frame_equal(found, read_dataset(tmp_path / "list.csv", reading).clips)
    assert sorted(found["filename"]) == names
    (tmp_path / "list.parquet").write_bytes((tmp_path / "list.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path / "list.parquet")


def test_a_parquet_without_its_library_names_it(tmp_path, monkeypatch):
    (tmp_path / "list.parquet").write_bytes(b"PAR1")

    def refuse(*arguments: object) -> None:
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", refuse)
    with pytest.raises(MissingExtraError) as caught:
        read_dataset(tmp_path / "list.parquet")
    assert caught.value.hint == "pip install 'asc-mrkd[parquet]'"
    monkeypatch.setattr(
        pd, "read_parquet", lambda path: pd.DataFrame({"file": ["a.wav", "b.wav"], "label": ["x", None]})
    )
    with pytest.raises(DataError, match=r"list\.parquet, row 1: b\.wav has no label"):
        read_dataset(tmp_path / "list.parquet")


def test_everything_odd_in_a_folder_is_named(folder):
    (folder / "empty").mkdir()
    (folder / "phone").mkdir()
    (folder / "phone" / "a.m4a").touch()
    (folder / "garden" / "notes.txt").touch()
    (folder / "garden" / "Thumbs.db").touch()
    (folder / "garden" / ".git").mkdir()
    (folder / "garden" / ".git" / "config").touch()
    write_clip(folder / "lost.wav")
    write_clip(folder / "Gar den" / "a.wav")
    found = {finding.code: finding for finding in compare_lists(read_dataset(folder))}
    assert found["empty_class"].subject == "phone"
    assert "phone/a.m4a; ffmpeg -i IN OUT.wav converts sound" in found["empty_class"].detail
    assert (found["similar_classes"].subject, found["similar_classes"].severity) == ("garden", "warning")
    assert found["extra_file"].detail == "it lies in no folder of a class"
    assert found["other_files"].subject == ".m4a, .txt"
    assert "ffmpeg -i phone/a.m4a phone/a.wav converts one" in found["other_files"].detail


def test_few_groups_are_split_all_the_same(folder):
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    table = pd.DataFrame({"file": paths, "label": ["a", "b"] * 4, "group": list("xxxxyyzz")})
    clips = read_dataset(table, Reading(root=folder, test_share=0.1)).clips
    assert clips.groupby("identifier")["split"].first().value_counts().to_dict() == {"train": 2, "test": 1}


def test_every_class_that_can_be_is_in_both_parts_of_a_made_split(tmp_path):
    rows = [(f"{label}{n}.wav", label, f"{label}{n // 2}") for label in "abcdefgh" for n in range(4)]
    rows += [(f"i{n}.wav", "i", "i") for n in range(9)]
    for name, *_ in rows:
        write_clip(tmp_path / name, 0.01)
    table = pd.DataFrame(rows, columns=["file", "label", "group"])
    for seed in range(4):
        clips = read_dataset(table, Reading(root=tmp_path, split_seed=seed)).clips
        assert clips.groupby("identifier")["split"].nunique().max() == 1
        parts = clips.groupby("label")["split"].agg(set)
        assert parts.pop("i") == {"train"}
        assert all(one == {"train", "test"} for one in parts)


def test_a_split_without_a_test_is_not_said_to_have_one(tmp_path):
    for name in ("a.wav", "b.wav"):
        write_clip(tmp_path / name)
    (tmp_path / "list.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    dataset = read_dataset(tmp_path / "list.csv")
    assert set(dataset.clips["split"]) == {"train"}
    assert dataset.understood[2].startswith("none is left to test on: every class has one recording")
    assert describe_own(dataset, [])[0] == "classes: 2 of 1 clip each"
    assert "other_files" not in {finding.code for finding in compare_lists(dataset)}
    (tmp_path / "note.txt").touch()
    details = {finding.code: finding.detail for finding in compare_lists(dataset)}
    assert details["other_files"] == "note.txt is of another kind and was left out"


def test_a_class_of_one_group_is_named(tmp_path):
    rows = [(f"{label}{number}.wav", label, group) for label, group in (("x", "g"), ("y", "")) for number in range(4)]
    for name, *_ in rows:
        write_clip(tmp_path / name)
    dataset = read_dataset(pd.DataFrame(rows, columns=["file", "label", "group"]), Reading(root=tmp_path))
    assert [(finding.code, finding.subject) for finding in dataset.findings] == [("single_group", "x")]


def test_options_of_tables_are_refused_for_official_sets(tmp_path):
    (tmp_path / "evaluation_setup").mkdir()
    (tmp_path / "evaluation_setup" / "test.txt").write_text("audio/a.wav\n")
    with pytest.raises(DataError, match="official layout"):
        read_dataset(tmp_path, Reading(test_fold="1"))


def draw_labels(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw classes of different sizes, in groups of 1 to 8 clips of mostly one class."""
    labels = []
    groups = []
    for group in range(60):
        label = f"class{rng.integers(0, 6)}"
        for _ in range(rng.integers(1, 9)):
            labels.append(label if rng.random() < 0.9 else "class0")
            groups.append(f"group{group}")
    return labels, groups


@pytest.mark.parametrize("seed", range(4))
def test_folds_are_as_even_as_those_of_scikit_learn(seed):
    labels, groups = draw_labels(np.random.default_rng(seed))
    ours = make_folds(labels, groups, 5, seed)
    theirs = np.zeros(len(labels), dtype=int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(labels, labels, groups), start=1):
        theirs[test] = number
    assert (pd.Series(ours).groupby(groups).nunique() == 1).all()
    assert sorted(set(ours)) == [1, 2, 3, 4, 5]

    def unevenness(folds: np.ndarray) -> float:
        counts = pd.crosstab(folds, pd.Series(labels))
        return float((counts / counts.sum()).std(ddof=0).mean())

    assert unevenness(ours) < 1.3 * unevenness(theirs)
    assert make_folds(labels, groups, 5, seed).tolist() == ours.tolist()
    assert make_folds(labels, groups, 5, seed + 1).tolist() != ours.tolist()
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = make_folds([labels[i] for i in order], [groups[i] for i in order], 5, seed)
    assert shuffled.tolist() == ours[order].tolist(), "the order of the rows does not matter"


def test_folds_of_single_clips_hold_equal_shares():
    labels = ["a"] * 40 + ["b"] * 20
    folds = make_folds(labels, [str(number) for number in range(60)], 4)
    counts = pd.crosstab(folds, pd.Series(labels))
    assert counts.to_numpy().tolist() == [[10, 5]] * 4


def test_an_own_table_called_as_that_of_an_official_set_is_named(folder):
    write_table(folder, "meta.csv")
    with pytest.raises(DataError, match="lacks the list fold1_train") as caught:
        read_dataset(folder)
    assert f"name the table itself, {folder / 'meta.csv'}" in caught.value.hint
    assert len(read_dataset(folder / "meta.csv").clips) == 8
