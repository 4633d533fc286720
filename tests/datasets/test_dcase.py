"""The official DCASE layouts: lists, labels and what contradicts them."""

import os
from pathlib import Path

import pytest

from asc_mrkd.datasets import read_dataset
from asc_mrkd.errors import DataError

SHARED = Path(os.environ.get("ASC_MRKD_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "official_meta"
real_lists = pytest.mark.skipif(not SHARED.is_dir(), reason="the official lists are not on this machine")

META = """filename	scene_label	identifier	source_label
audio/tram-lyon-7-3-a.wav	tram	lyon-7	a
audio/bus-lyon-4-0-a.wav	bus	lyon-4	a
audio/bus-lyon-4-1-a.wav	bus	lyon-4	a
audio/bus-milan-9-2-b.wav	bus	milan-9	b
"""
TRAIN = "audio/tram-lyon-7-3-a.wav\ttram\naudio/bus-lyon-4-0-a.wav\tbus\n"
TEST = "audio/bus-lyon-4-1-a.wav\n"
EVALUATE = "audio/bus-lyon-4-1-a.wav\tbus\n"
TUT_2018 = {"meta.csv": META, "fold1_train.txt": TRAIN, "fold1_test.txt": TEST, "fold1_evaluate.txt": EVALUATE}
TAU_2019 = {
    "meta.csv": META,
    "fold1_train.csv": "filename\tscene_label\n" + TRAIN,
    "fold1_test.csv": "filename\n" + TEST,
    "fold1_evaluate.csv": "filename\tscene_label\n" + EVALUATE,
}


def write(root: Path, lists: dict[str, str], line_end: str = "\n") -> Path:
    (root / "evaluation_setup").mkdir(parents=True)
    for name, text in lists.items():
        folder = root if name == "meta.csv" else root / "evaluation_setup"
        (folder / name).write_bytes(text.replace("\n", line_end).encode())
    return root


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("lists", "layout"), [(TUT_2018, "TUT 2018"), (TAU_2019, "TAU 2019")])
def test_both_layouts_give_the_same_table(tmp_path, lists, layout, line_end):
    dataset = read_dataset(write(tmp_path / "set", lists, line_end))
    assert dataset.layout == layout
    assert dataset.classes == ["bus", "tram"]
    assert dataset.duplicates == 0
    assert list(dataset.clips) == ["filename", "label", "identifier", "source_label", "city", "split"]
    assert dataset.clips.to_numpy().tolist() == [
        ["audio/bus-lyon-4-0-a.wav", "bus", "lyon-4", "a", "lyon", "train"],
        ["audio/bus-lyon-4-1-a.wav", "bus", "lyon-4", "a", "lyon", "test"],
        ["audio/bus-milan-9-2-b.wav", "bus", "milan-9", "b", "milan", "unused"],
        ["audio/tram-lyon-7-3-a.wav", "tram", "lyon-7", "a", "lyon", "train"],
    ]


def test_folder_is_found_from_its_parent(tmp_path):
    root = write(tmp_path / "set", TUT_2018)
    (tmp_path / "notes").mkdir()
    assert read_dataset(tmp_path).root == root
    write(tmp_path / "other", TAU_2019)
    with pytest.raises(DataError, match="several data sets: other, set"):
        read_dataset(tmp_path)


def test_duplicate_rows_are_dropped_and_counted(tmp_path):
    lists = {**TAU_2019, "meta.csv": META + META.splitlines()[2] + "\n", "fold1_train.csv": TRAIN + "\n" + TRAIN}
    dataset = read_dataset(write(tmp_path / "set", lists))
    assert dataset.duplicates == 3
    assert len(dataset.clips) == 4


def test_own_labels_byte_order_mark_and_extra_columns(tmp_path):
    meta = "\ufefffilename\tidentifier\tsource_label\tscene_label\tnote\n"
    meta += "audio/1.flac\tnew-york-1\tphone\tNA\t\naudio/2.flac\tattic\tphone\tküche\tnoisy\n"
    lists = {"meta.csv": meta, "fold1_train.csv": "audio/1.flac\tNA\n", "fold1_test.csv": "audio/2.flac\n"}
    dataset = read_dataset(write(tmp_path / "set", lists))
    assert dataset.classes == ["NA", "küche"]
    assert dataset.clips["city"].tolist() == ["new-york", "attic"]
    assert dataset.clips["split"].tolist() == ["train", "test"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fold1_train.txt": TRAIN + "audio/new.wav\tbus\n"}, r"fold1_train.txt, line 3: audio/new.wav is not in meta"),
        ({"fold1_train.txt": TRAIN.replace("\tbus", "\tcar")}, r"fold1_train.txt, line 2: .* labelled 'car' .* 'bus'"),
        (
            {"fold1_evaluate.txt": EVALUATE.replace("\tbus", "\ttram")},
            r"fold1_evaluate.txt, line 1: .* 'tram' .* 'bus'",
        ),
        ({"fold1_train.txt": TRAIN.replace("\tbus", "\t")}, r"line 2: .* labelled '' here"),
        ({"fold1_train.txt": TRAIN.replace("\tbus", "")}, r"line 2: 1 columns instead of 2"),
        ({"fold1_train.txt": TRAIN + EVALUATE}, r"fold1_test.txt, line 1: audio/bus-lyon-4-1-a.wav .* other fold"),
        ({"fold1_test.txt": "\n\n"}, r"fold1_test.txt lists no clip"),
        ({"meta.csv": META.replace("\tbus\tmilan", "\t\tmilan")}, r"meta.csv, line 5: .*milan.* has no label"),
        ({"meta.csv": META + "audio/bus-lyon-4-1-a.wav\ttram\tlyon-4\ta\n"}, r"meta.csv, line 6: .* other entries"),
        ({"meta.csv": META + "\tbus\tlyon-4\ta\n"}, r"meta.csv, line 6: .* no file name"),
        ({"meta.csv": META.replace("identifier", "place")}, r"meta.csv lacks: identifier$"),
        ({"meta.csv": META.replace("\t", ",")}, r"meta.csv lacks: scene_label, identifier, source_label$"),
        ({"meta.csv": META + "audio/x.wav\tbus\n"}, r"meta.csv, line 6: 2 columns instead of 4"),
        ({"meta.csv": META.splitlines()[0]}, r"meta.csv lists no clip"),
        ({"meta.csv": ""}, r"meta.csv lists no clip"),
    ],
)
def test_contradictions_are_named(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        read_dataset(write(tmp_path / "set", {**TUT_2018, **changed}))


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (["meta.csv"], "meta.csv: No such file"),
        (["fold1_train.txt"], "lacks the list fold1_train"),
        (["fold1_test.txt", "fold1_evaluate.txt"], "lacks the list fold1_train or fold1_test"),
    ],
)
def test_missing_lists_are_named(tmp_path, absent, message):
    lists = {name: text for name, text in TUT_2018.items() if name not in absent}
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(write(tmp_path / "set", lists))
    assert caught.value.hint


def test_list_that_is_no_text(tmp_path):
    root = write(tmp_path / "set", TUT_2018)
    (root / "meta.csv").write_bytes(META.encode("utf-16"))
    with pytest.raises(DataError, match="not a text file"):
        read_dataset(root)


def test_missing_and_empty_folders(tmp_path):
    for folder, message in [(tmp_path / "absent", "no such file or folder"), (tmp_path, "holds no data set")]:
        with pytest.raises(DataError, match=message) as caught:
            read_dataset(folder)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test.csv", "filename\naudio/1.wav\naudio/0.wav\n"),
        ("test.txt", "audio/0.wav\naudio/1.wav\n"),
        ("fold1_test.csv", "filename\r\naudio/0.wav\r\naudio/1.wav\r\n"),
        (None, ""),
    ],
)
def test_evaluation_set_without_labels(tmp_path, name, text):
    root = write(tmp_path / "set", {name: text} if name else {})
    if name is None:
        (root / "audio").mkdir()
        for file in ("1.wav", "0.wav", "._0.wav", "readme.txt"):
            (root / "audio" / file).touch()
    dataset = read_dataset(root)
    assert dataset.layout == "evaluation"
    assert dataset.classes == []
    assert dataset.clips.to_numpy().tolist() == [[f"audio/{n}.wav", "", "", "", "", "test"] for n in (0, 1)]


def test_evaluation_set_without_anything(tmp_path):
    with pytest.raises(DataError, match="neither a list of clips nor a sound file"):
        read_dataset(write(tmp_path / "set", {}))


@real_lists
def test_real_lists_of_tut_2018():
    dataset = read_dataset(SHARED / "TUT-urban-acoustic-scenes-2018-development")
    clips = dataset.clips
    assert (dataset.layout, dataset.duplicates) == ("TUT 2018", 0)
    assert clips["split"].value_counts().to_dict() == {"train": 6122, "test": 2518}
    assert dataset.classes == [
        *["airport", "bus", "metro", "metro_station", "park"],
        *["public_square", "shopping_mall", "street_pedestrian", "street_traffic", "tram"],
    ]
    assert clips["label"].value_counts().to_dict() == dict.fromkeys(dataset.classes, 864)
    assert clips["identifier"].nunique() == 286
    assert clips.groupby("identifier")["split"].nunique().max() == 1
    cities = {"barcelona": 1421, "helsinki": 1447, "london": 1444, "paris": 1452, "stockholm": 1456, "vienna": 1420}
    assert clips["city"].value_counts().to_dict() == cities


@pytest.mark.slow
@real_lists
def test_real_lists_of_tau_2020_3class():
    dataset = read_dataset(SHARED / "TAU-urban-acoustic-scenes-2020-3class-development")
    clips = dataset.clips
    assert (dataset.layout, dataset.duplicates) == ("TAU 2020 3Class", 0)
    assert clips["split"].value_counts().to_dict() == {"train": 9185, "test": 4185, "unused": 1030}
    assert clips["label"].value_counts().to_dict() == {"indoor": 4320, "outdoor": 5760, "transportation": 4320}
    assert set(clips.loc[clips["split"] == "unused", "city"]) == {"milan"}
    assert clips["identifier"].nunique() == 514


def test_label_that_an_official_file_name_contradicts_is_unknown(tmp_path):
    rows = [
        "filename\tscene_label\tidentifier\tsource_label",
        "audio/park-oslo-1-1-a.wav\tpark\toslo-1\ta",
        "audio/airport-oslo-2-2-a.wav\tairprot\toslo-2\ta",
    ]
    (tmp_path / "evaluation_setup").mkdir()
    (tmp_path / "meta.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "evaluation_setup" / "fold1_train.txt").write_text("audio/park-oslo-1-1-a.wav\tpark\n")
    (tmp_path / "evaluation_setup" / "fold1_test.txt").write_text("audio/airport-oslo-2-2-a.wav\n")
    with pytest.raises(DataError, match=r"line 3: audio/airport-oslo-2-2-a\.wav has the unknown label 'airprot'"):
        read_dataset(tmp_path)
