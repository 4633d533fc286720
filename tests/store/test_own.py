"""Stores of own recordings: a fitting front end, pieces of long recordings, short ones, and resumption."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.audio import make_noise, write_sound
from helpers.cli import run_cli
from helpers.store import differing_files, extract_by_verb, small_spec, write_recordings

from asc_mrkd.audio.read import Shape, read_audio, read_shape
from asc_mrkd.datasets import Reading, read_dataset
from asc_mrkd.datasets.pieces import Cutting, choose_seconds, cut_recordings
from asc_mrkd.doctor import check_data
from asc_mrkd.errors import ConfigError, DataError
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.store import join_stores
from asc_mrkd.store.extraction import extract
from asc_mrkd.store.origin import ORIGIN, read_origin
from asc_mrkd.store.preparation import choose_spec, prepare

RATE = 16_000
DONE = (
    "3 recordings are as long as a clip, 1 s, 1 longer one is cut into 3 pieces of 1 s, "
    "1 shorter one is repeated up to a clip"
)
LENGTHS = {"kitchen/a.wav": 1.0, "kitchen/b.wav": 2.6, "kitchen/c.ogg": 1.0, "yard/d.flac": 0.3, "yard/e.wav": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Kitchens and yards of a second, one longer and one shorter."""
    folder = tmp_path_factory.mktemp("own") / "own"
    for name, seconds in LENGTHS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_sound(folder / name, make_noise(1, round(seconds * RATE)) * len(name) / 20, RATE)
    return folder


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    return extract(folder, tmp_path_factory.mktemp("store") / "store", workers=1)


def test_the_front_end_fits_the_recordings(store):
    assert store.spec.name == "pmel256_mono-1s-16000Hz"
    assert store.spec.shape == (1, 256, 65), "a hop short enough for 64 frames"
    assert (store.clips["status"] == "ok").all()
    assert read_origin(store.folder)["done"] == [
        "front end pmel256_mono-1s-16000Hz: 16,000 Hz, mono, clips of 1 s",
        DONE,
    ]


def test_long_recordings_are_cut_and_keep_label_split_and_group(store):
    pieces = store.clips[store.clips["recording"] == "kitchen/b.wav"]
    assert pieces["filename"].tolist() == [f"kitchen/b.wav#t={t}" for t in ("0,1", "1,2", "1.6,2.6")]
    assert set(pieces["identifier"]) == {"kitchen/b.wav"}
    assert pieces["split"].nunique() == pieces["label"].nunique() == 1


def test_the_features_of_a_piece_are_those_of_its_samples(folder, store):
    samples = read_audio(folder / "kitchen/b.wav").samples
    row = store.clips.index[store.clips["filename"] == "kitchen/b.wav#t=1.6,2.6"][0]
    expected = Frontend(store.spec)(samples[:, round(1.6 * RATE) :]).astype(np.float16)
    assert (store.features[row] == expected).all()


@pytest.mark.parametrize("short", ["repeat", "pad", "refuse"])
def test_short_recordings_are_repeated_padded_or_refused(folder, store, tmp_path, short):
    made = extract(folder, tmp_path / "store", cutting=Cutting(short=short), workers=1)
    row = made.clips.index[made.clips["filename"] == "yard/d.flac"][0]
    assert made.clips.loc[row, "short"] == short
    if short == "refuse":
        assert made.clips.loc[row, ["status", "reason"]].tolist() == ["bad", "wrong_length"]
        return
    samples = read_audio(folder / "yard/d.flac").samples
    filled = {"repeat": np.tile(samples, 4)[:, :RATE], "pad": np.pad(samples, ((0, 0), (0, RATE - samples.shape[1])))}
    assert (made.features[row] == Frontend(made.spec)(filled[short]).astype(np.float16)).all()
    with pytest.warns(UserWarning, match=r"the list of clips has changed since .*: yard/d\.flac has another short"):
        extract(folder, tmp_path / "store", cutting=Cutting(short="refuse"), workers=1)


def test_a_hop_gives_overlapping_pieces_and_a_sentence(folder, tmp_path):
    cutting = Cutting(seconds=0.5, hop=0.25)
    done = check_data(folder, cutting=cutting, workers=1).summary[-1]
    assert (
        "1 longer one is cut into 1 piece of 2 s, the last 0.6 s"
        in (check_data(folder, cutting=Cutting(seconds=2.0), workers=1).summary[-1])
    )
    assert "; 4 longer ones are cut into 18 pieces of 0.5 s every 0.25 s, the last 0.1 s of them together" in done
    made = extract(folder, tmp_path / "store", cutting=cutting, workers=1)
    assert len(made.clips) == 19


def test_an_interrupted_extraction_of_pieces_ends_with_the_same_bytes(folder, store, tmp_path, monkeypatch):
    from asc_mrkd.store import extraction

    class Stop(Exception):
        pass

    def stop(*arguments: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "finish", stop)
        with pytest.raises(Stop):
            extract(folder, tmp_path / "store", workers=1)
    again = extract(folder, tmp_path / "store", workers=1)
    assert differing_files(again.folder, store.folder) == []


def test_folder_table_and_pandas_give_equal_stores(folder, store, tmp_path):
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    table = pd.DataFrame({"file": paths, "class": [path.partition("/")[0] for path in paths]})
    table.to_csv(tmp_path / "list.csv", index=False)
    from_table = extract(tmp_path / "list.csv", tmp_path / "a", reading=Reading(root=folder), workers=1)
    from_pandas = extract(table, tmp_path / "b", reading=Reading(root=folder), workers=1)
    names = {"clips.csv", "features.npy", "spec.yaml", "stats.npz", "classes.txt", "SHA256SUMS"}
    for one in (from_table, from_pandas):
        assert not names & set(differing_files(one.folder, store.folder))
        assert one.digest == store.digest


def test_a_named_front_end_gives_the_length(folder, tmp_path):
    store = extract(folder, tmp_path / "store", "logmel256", workers=1)
    assert store.spec.name == "logmel256"
    assert len(store.clips) == 7


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_headers_say_the_length(tmp_path, suffix):
    path = write_sound(tmp_path / f"a{suffix}", make_noise(2, 12_345), 44_100)
    audio = read_audio(path)
    assert read_shape(path) == Shape(44_100, 2, audio.samples.shape[1] / 44_100)


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ([10.0] * 3, 10.0),
        ([4.99, 5.01, 5.0, 0.2], 5.0),
        ([4.96] * 3, 4.9),
        ([4.99995] * 3, 5.0),
        ([3.0, 4.0, 5.05], 4.0),
        ([600.0, 30.0], 10.0),
        ([0.02], 0.1),
    ],
)
def test_the_length_fits_most_recordings(lengths, chosen):
    assert choose_seconds(lengths) == chosen


def cut_table(tmp_path: Path, rows: list[tuple[str, float, float | None, str]], seconds: float) -> list[str]:
    """Return the names of the pieces of a table of parts of a.wav and b.wav, which last 2 s."""
    for name in ("a.wav", "b.wav"):
        write_sound(tmp_path / name, make_noise(1, 2 * RATE), RATE)
    table = pd.DataFrame(rows, columns=["file", "start", "end", "label"])
    dataset = read_dataset(table, Reading(root=tmp_path))
    shapes = dict.fromkeys(("a.wav", "b.wav"), Shape(RATE, 1, 2.0))
    return cut_recordings(dataset, shapes, seconds)[0].clips["filename"].tolist()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (1, 5, "a clip of a.wav ends at 5 s, but the recording lasts 2 s"),
        (50, 54, "a clip of a.wav starts at 50 s, but the recording lasts 2 s"),
        (2, None, "a clip of a.wav starts at 2 s"),
    ],
)
def test_a_clip_outside_its_recording_is_refused(tmp_path, start, end, message):
    with pytest.raises(DataError, match=message):
        cut_table(tmp_path, [("a.wav", start, end, "x"), ("b.wav", 0, 1, "y")], 1.0)


def test_parts_of_long_recordings_give_the_length_of_the_clips(tmp_path):
    rows = [("a.wav", 5, 7), ("a.wav", 10, 12.05), ("b.wav", 0, 2), ("b.wav", 19, None), ("gone.wav", 0, 9)]
    table = pd.DataFrame(rows, columns=["file", "start", "end"]).assign(label=list("xyxyx"))
    (tmp_path / "a.wav").touch()
    dataset = read_dataset(table, Reading(root=tmp_path))
    shapes = dict.fromkeys(("a.wav", "b.wav"), Shape(RATE, 1, 20.0))
    prepared = prepare(dataset, shapes=shapes)
    assert prepared.spec.clip_seconds == 2.0
    assert prepared.dataset.clips["short"].tolist() == ["", "", "", "repeat", ""]


def test_the_end_of_a_clip_may_be_rounded(tmp_path):
    names = cut_table(tmp_path, [("a.wav", 1, 2.05, "x"), ("b.wav", 1, None, "y")], 1.0)
    assert names == ["a.wav#t=1,2.05", "b.wav#t=1"]


def test_overlapping_clips_that_give_the_same_piece_are_refused(tmp_path):
    rows = [("a.wav", 0, 2, "x"), ("a.wav", 0, 1, "y"), ("b.wav", 0, 2, "x")]
    with pytest.raises(DataError, match=r"a\.wav#t=0,1 is a piece of two clips, because they overlap"):
        cut_table(tmp_path, rows, 1.0)
    assert cut_table(tmp_path, rows[1:], 1.0) == ["a.wav#t=0,1", "b.wav#t=0,1", "b.wav#t=1,2"]


def test_the_errors_of_a_length_and_of_a_front_end_name_the_next_step(folder, tmp_path):
    with pytest.raises(ConfigError, match="too short to be reflected") as caught:
        extract(folder, tmp_path / "store", cutting=Cutting(seconds=0.02), workers=1)
    assert caught.value.hint.startswith("choose another --clip-seconds")
    for path in (tmp_path / "missing.yaml", tmp_path / "list.yaml"):
        (tmp_path / "list.yaml").write_text("- a\n")
        with pytest.raises(ConfigError, match=path.name) as caught:
            extract(folder, tmp_path / "store", path, workers=1)
        assert "features/pmel256.yaml" in caught.value.hint
    with pytest.raises(ConfigError, match="no treatment of short recordings 'loop'"):
        Cutting(short="loop")
    with pytest.raises(ConfigError, match="--shard 3 is not a shard"):
        extract(folder, tmp_path / "store", shard=3)


def test_stereo_recordings_get_the_front_end_of_the_paper():
    assert choose_spec([Shape(48_000, 2, 10.0)], 10.0).name == "pmel256"
    assert choose_spec([Shape(48_000, 2, 10.0)], 10.0).hop_length == 512
    assert choose_spec([Shape(48_000, 2, 10.0)], 1.0).name == "pmel256-1s"
    with pytest.raises(ConfigError, match="too short to be reflected"):
        choose_spec([Shape(48_000, 2, 10.0)], 0.02)


def test_the_verbs_say_what_was_understood_and_done(folder, tmp_path):
    done = run_cli("check-data", folder, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:7] == [
        "folders: 5 clips (3 train, 2 test), 2 classes",
        "  classes: kitchen 3, yard 2",
        "  columns: a folder per class",
        "  groups: none: any two clips may be divided between training and test",
        "  recordings: 0.3 to 2.6 s, 16,000 Hz, 1 channel",
        "  splits: 3 train, 2 test, made with seed 0: one of 4 parts with about equal classes is for testing",
        f"  extraction: front end pmel256_mono-1s-16000Hz: 16,000 Hz, mono, clips of 1 s; {DONE}",
    ]
    done = run_cli("extract-features", "--data", folder, "--out", tmp_path / "s", "--clip-seconds", 0.5, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("front end pmel256_mono-0.5s-16000Hz: ")
    refused = run_cli("extract-features", "--data", folder, "--out", tmp_path / "t", "--clip-seconds", 0)
    assert refused.code == 2
    assert "--clip-seconds 0 is not between" in refused.err


@pytest.mark.parametrize(("silent", "split"), [("", "test"), ("a", "train")])
def test_the_verbs_say_that_nothing_is_left_to_train_or_to_test_on(tmp_path, silent, split):
    names = ["a.wav", "b.wav"] if silent else ["x/a.wav", "y/b.wav"]  # a given split, or one clip per class
    for name in names:
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        write_sound(tmp_path / "own" / name, make_noise(1, 8000) * (Path(name).stem != silent), RATE)
    if silent:
        (tmp_path / "own" / "list.csv").write_text("file,label,split\na.wav,x,train\nb.wav,y,test\n")
    options = ("--data", tmp_path / "own", "--workers", 1, "--max-bad", 1)
    made = run_cli("extract-features", *options, "--out", tmp_path / "store")
    stores = []
    for number in (1, 2):
        stores.append(tmp_path / f"store{number}")
        part = run_cli("extract-features", *options, "--shard", f"{number}/2", "--out", stores[-1])
        assert "is left to" not in part.err
    joined = run_cli("join-stores", *stores, "--out", tmp_path / "joined")
    for done in (made, joined):
        assert done.code == 0, done.err
        assert re.findall("warning: no usable clip is left to (train|test) on", done.err) == [split]


def test_shards_of_own_recordings_join_to_the_bytes_of_the_whole(folder, store, tmp_path):
    shards = [extract(folder, tmp_path / f"s{number}", shard=f"{number}/2", workers=1).folder for number in (1, 2)]
    joined = join_stores(shards, tmp_path / "joined")
    assert differing_files(joined.folder, store.folder) == []
    assert joined.digest == store.digest
    (shards[1] / ORIGIN).write_text("done: []\n")
    for name in ("again", "joined"):
        assert not (join_stores(shards, tmp_path / name).folder / ORIGIN).exists(), "no shard speaks for another"


def test_the_origin_is_that_of_the_last_extraction_wherever_it_is_read(tmp_path, monkeypatch):
    root = write_recordings(tmp_path / "set", 4).root
    monkeypatch.chdir(root)
    store = extract("meta.csv", tmp_path / "store", small_spec(), workers=1).folder
    assert read_origin(store)["recordings"] == str(root)
    with pytest.warns(UserWarning, match="the list of clips has changed"):
        extract(root, store, small_spec(), workers=1)
    assert read_origin(store) == {}


def test_a_finished_store_on_a_disk_that_only_reads_is_opened_however_its_data_are_named(folder, store, monkeypatch):
    def refuse(path, wait):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    origin = (store.folder / ORIGIN).read_bytes()
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("asc_mrkd.files.open_locked", refuse)
    assert extract("own", store.folder, workers=1).digest == store.digest
    assert (store.folder / ORIGIN).read_bytes() == origin


def test_official_recordings_of_another_length_are_refused_with_the_option_that_takes_them(tmp_path):
    root = write_recordings(tmp_path / "official", 8).root
    write_sound(root / "audio" / "bus-city-0-0-a.wav", make_noise(2, 9000), 48_000)
    done = extract_by_verb(root, tmp_path / "a", "--max-bad", 1)
    assert "left out audio/bus-city-0-0-a.wav: wrong_length" in done.err
    assert "--clip-seconds 0.5 would cut longer recordings and repeat shorter ones" in done.err
    cut = extract_by_verb(root, tmp_path / "b", "--clip-seconds", 0.5)
    assert cut.code == 0, cut.err
    assert "1 shorter one is repeated up to a clip" in cut.out
