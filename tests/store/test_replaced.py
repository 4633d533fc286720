"""Recordings that were replaced by others of the same name, and recordings that are in both splits."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from helpers.cli import run_cli
from helpers.store import RATE, SECONDS, differing_files, extract_by_verb

from asc_mrkd.config import StoreConfig
from asc_mrkd.datasets.pieces import Cutting
from asc_mrkd.datasets.splits import fold_numbers
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import StoreError
from asc_mrkd.store import extract as extract_data
from asc_mrkd.store import extract_clips, join_stores, open_store
from asc_mrkd.store.check import find_known_test_clips
from asc_mrkd.store.journal import journal_line
from asc_mrkd.store.layout import JOURNAL, PENDING, write_table
from asc_mrkd.store.selection import known_test_clips
from asc_mrkd.store.shards import mark_shard, parse_shard
from asc_mrkd.store.sources import SOURCES, read_sources, write_sources

pytestmark = pytest.mark.usefixtures("in_this_process")


def replace_recording(path):
    """Put another sound of the same size into the place of a recording."""
    size = path.stat().st_size
    noise = np.random.default_rng(9).uniform(-0.5, 0.5, (round(RATE * SECONDS), 2))
    soundfile.write(path, noise, RATE, subtype="PCM_24")
    assert path.stat().st_size == size


@pytest.fixture
def extract(recordings, spec, tmp_path):
    def extract_again(name="store"):
        return extract_clips(recordings.clips, recordings.root, spec, tmp_path / name, workers=1)

    return extract_again


def test_a_replaced_recording_is_extracted_again(recordings, extract):
    before = extract()
    old = np.array(before.features)
    replace_recording(recordings.root / recordings.clips["filename"][3])
    with pytest.warns(UserWarning, match="1 recording has changed since the extraction into .*, such as audio/"):
        after = extract()
    changed = [row for row in range(10) if not np.array_equal(old[row], after.features[row])]
    assert changed == [3]
    assert after.digest != before.digest
    assert not differing_files(after.folder, extract("fresh").folder)


def test_a_recording_replaced_during_an_interruption_is_extracted_again(recordings, extract):
    store = extract()
    checksums = enumerate(store.clips["crc32"])
    (store.folder / JOURNAL).write_text("".join(journal_line(row, crc32, "") for row, crc32 in checksums))
    write_table(store.folder, store.clips.assign(status=PENDING))
    replace_recording(recordings.root / recordings.clips["filename"][0])
    assert not differing_files(extract().folder, extract("fresh").folder)


def test_moved_or_removed_recordings_change_nothing(recordings, spec, extract, monkeypatch):
    store = extract()
    copy = recordings.root.with_name("copy")
    shutil.copytree(recordings.root, copy)
    monkeypatch.setattr("asc_mrkd.store.extraction._fill", None)  # which nothing may call
    assert extract_clips(recordings.clips, copy, spec, store.folder).digest == store.digest
    shutil.rmtree(recordings.root / "audio")
    assert extract().digest == store.digest


def test_a_repair_without_the_recordings_keeps_what_is_known_of_them(recordings, extract, monkeypatch):
    store = extract()
    known = (store.folder / SOURCES).read_bytes()
    (recordings.root / "audio").rename(recordings.root / "away")
    (store.folder / "stats.npz").unlink()
    assert extract().digest == store.digest
    assert (store.folder / SOURCES).read_bytes() == known
    (recordings.root / "away").rename(recordings.root / "audio")
    monkeypatch.setattr("asc_mrkd.store.extraction._fill", None)
    extract()


@pytest.mark.parametrize("damage", [b"", b"\0" * 99, b"1 2\n", b"\xff\xfe9 9 audio/bus\n"])
def test_damaged_notes_lead_to_the_same_store(extract, damage):
    store = extract()
    (store.folder / SOURCES).write_bytes(damage)
    assert extract().digest == store.digest
    assert not differing_files(store.folder, extract("fresh").folder)


def extract_and_join(recordings, spec, tmp_path):
    """Extract two shards and join them."""
    folders = []
    for name in ("1/2", "2/2"):
        shard = parse_shard(name)
        folders.append(tmp_path / name.replace("/", "of"))
        extract_clips(shard.select(recordings.clips), recordings.root, spec, folders[-1], workers=1)
        mark_shard(folders[-1], shard, recordings.clips)
    return join_stores(folders, tmp_path / "joined")


def test_the_joined_store_knows_the_recordings_of_all_shards(recordings, spec, extract, tmp_path):
    joined = extract_and_join(recordings, spec, tmp_path)
    assert not differing_files(joined.folder, extract().folder)


def test_shards_with_a_replaced_recording_are_joined_again(recordings, spec, extract, tmp_path, monkeypatch):
    before = extract_and_join(recordings, spec, tmp_path)
    replace_recording(recordings.root / recordings.clips["filename"][3])
    with monkeypatch.context() as patch:
        patch.setattr("asc_mrkd.store.shards.finish", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract_and_join(recordings, spec, tmp_path)
    with pytest.raises(StoreError, match="extraction has not finished"):
        open_store(before.folder)
    after = extract_and_join(recordings, spec, tmp_path)
    assert after.digest != before.digest
    assert not differing_files(after.folder, extract().folder)


def test_a_recording_that_changed_between_two_shards_is_extracted_again(recordings, spec, tmp_path):
    joined = extract_and_join(recordings, spec, tmp_path)
    first, second = recordings.clips["filename"][[0, 9]]
    states = {**read_sources(tmp_path / "2of2"), first: ("1", "1")}
    write_sources(tmp_path / "2of2", states)
    (joined.folder / "stats.npz").unlink()
    known = read_sources(extract_and_join(recordings, spec, tmp_path).folder)
    assert (first in known, second in known) == (False, True)


def test_a_recording_under_two_names_in_both_splits_is_named(recordings, tmp_path):
    names = recordings.clips.set_index("split")["filename"]
    known, copy = names["train"].iloc[2], names["test"].iloc[1]
    shutil.copyfile(recordings.root / known, recordings.root / copy)
    done = extract_by_verb(recordings.root, tmp_path / "store")
    assert done.code == 0
    assert f"warning: test clip {copy} is the same recording as the training clip {known}" in done.err
    checked = run_cli("check-data", tmp_path / "store")
    assert checked.code == 0
    assert "warning same_as_training_clip: 1" in checked.out


def test_training_warns_of_test_clips_that_are_training_clips(recordings, extract):
    names = recordings.clips.set_index("split")["filename"]
    known, copy = names["train"].iloc[2], names["test"].iloc[1]
    shutil.copyfile(recordings.root / known, recordings.root / copy)
    store = extract()
    message = f"1 test clip is a training clip under another name, .*: {copy} is the same recording as .* {known}"
    with pytest.warns(UserWarning, match=message):
        open_data(StoreConfig(store=str(store.folder))).load(torch.device("cpu"))


def test_training_on_folds_warns_of_a_recording_in_two_folds(recordings, extract):
    numbers = fold_numbers(recordings.clips, 2)
    tested, known = (recordings.clips["filename"][numbers == number].iloc[0] for number in (1, 2))
    shutil.copyfile(recordings.root / known, recordings.root / tested)
    data_store = extract().folder
    data = open_data(StoreConfig(store=str(data_store), folds=2, fold=1))
    with pytest.warns(UserWarning, match=f"{tested} is the same recording as the training clip {known}"):
        data.load(torch.device("cpu"))
    of_all_folds = known_test_clips(open_store(data_store), StoreConfig(store=str(data_store), folds=2))
    assert of_all_folds.startswith("2 test clips are training clips under another name")  # each in its own fold


def test_joining_names_a_recording_in_two_shards(recordings, spec, tmp_path):
    names = recordings.clips["filename"]
    splits = recordings.clips["split"]
    known = names[:5][splits == "train"].iloc[0]
    copy = names[5:][splits == "test"].iloc[0]
    shutil.copyfile(recordings.root / known, recordings.root / copy)
    extract_and_join(recordings, spec, tmp_path)
    done = run_cli("join-stores", tmp_path / "1of2", tmp_path / "2of2", "--out", tmp_path / "joined")
    assert done.code == 0, done.err
    assert f"warning: test clip {copy} is the same recording as the training clip {known}" in done.err


def test_pieces_of_silence_are_not_one_recording(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("x/a", "x/b", "y/c", "y/d"):
        path = tmp_path / "own" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.append(rng.uniform(-0.5, 0.5, 8000), np.zeros(8000)), 8000)
    store = extract_data(tmp_path / "own", tmp_path / "store", cutting=Cutting(seconds=1.0), workers=1)
    silent = store.clips[store.clips["start"] == 1]
    assert silent["crc32"].nunique() == 1
    assert set(silent["split"]) == {"train", "test"}
    assert not find_known_test_clips(store)


def test_equal_checksums_of_different_rows_are_not_a_copy(extract):
    store = extract()
    training, test = store.rows("train").index, store.rows("test").index
    store.clips.loc[test[0], "crc32"] = store.clips.loc[training[0], "crc32"]
    assert not find_known_test_clips(store)
