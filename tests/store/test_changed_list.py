"""A store whose list of clips has changed: unchanged recordings are not read again, and it is as if made afresh."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.audio import make_noise, write_sound
from helpers.cli import run_cli
from helpers.store import Recordings, differing_files, write_recordings

from asc_mrkd.errors import StoreError
from asc_mrkd.features import FrontendSpec
from asc_mrkd.store import FeatureStore, extract, extract_clips, join_stores, open_store
from asc_mrkd.store.layout import FEATURES, NEXT, SHARD
from asc_mrkd.store.shards import mark_shard, parse_shard
from asc_mrkd.store.sources import SOURCES
from asc_mrkd.store.worker import _ClipReader

pytestmark = [
    pytest.mark.usefixtures("in_this_process"),
    pytest.mark.filterwarnings("ignore:the list of clips has changed"),
]


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the recordings that are read during a test."""
    names: list[str] = []
    original = _ClipReader.read

    def note_and_read(reader, job):
        names.append(Path(job.path).name)
        return original(reader, job)

    monkeypatch.setattr(_ClipReader, "read", note_and_read)
    return names


class Maker:
    """Extracts lists of clips of a small data set."""

    def __init__(self, recordings: Recordings, spec: FrontendSpec, folder: Path) -> None:
        self.recordings = recordings
        self.spec = spec
        self.folder = folder

    def extract(self, clips: pd.DataFrame, name: str = "store") -> FeatureStore:
        clips = clips.reset_index(drop=True)
        return extract_clips(clips, self.recordings.root, self.spec, self.folder / name, workers=1)

    def is_as_fresh(self, clips: pd.DataFrame) -> bool:
        return not differing_files(self.folder / "store", self.extract(clips, "fresh").folder)


@pytest.fixture
def maker(recordings, spec, tmp_path) -> Maker:
    return Maker(recordings, spec, tmp_path)


FIRST = "audio/bus-city-0-0-a.wav"


def test_a_store_may_have_the_name_of_a_replacement(maker):
    assert maker.extract(maker.recordings.clips, NEXT).is_finished


@pytest.mark.parametrize(
    ("change", "difference", "number_read"),
    [
        (lambda clips: clips[1:], f"{FIRST} is in the store only", 0),
        (lambda clips: clips.replace(FIRST, "new.wav"), "new.wav is not in the store", 1),
        (lambda clips: clips[::-1], "audio/park-city-9-9-a.wav has another row", 0),
        (lambda clips: clips.replace({"label": {"bus": "tram"}}), f"{FIRST} has another label", 0),
        (lambda clips: clips.replace({"split": {"test": "unused"}}), r"audio/.*-a.wav has another split", 0),
        (lambda clips: clips.assign(identifier="g"), f"{FIRST} has another identifier", 0),
        (lambda clips: clips.assign(fold="1"), "the column fold is not in both", 0),
    ],
)
def test_only_what_is_new_in_the_list_is_read(maker, recordings, read, change, difference, number_read):
    before = maker.extract(recordings.clips)
    shutil.copyfile(recordings.root / FIRST, recordings.root / "new.wav")
    clips = change(recordings.clips)
    read.clear()
    with pytest.warns(UserWarning, match=f"the list of clips has changed since .*: {difference}"):
        after = maker.extract(clips)
    assert len(read) == number_read
    assert after.digest != before.digest
    assert maker.is_as_fresh(clips)


def test_added_removed_and_replaced_recordings_at_once(maker, recordings, read):
    clips = recordings.clips
    maker.extract(clips[:8])
    write_sound(recordings.root / clips["filename"][3], make_noise(2, 16_000), 32_000)
    read.clear()
    maker.extract(clips[2:])
    assert read == [Path(clips["filename"][row]).name for row in (3, 8, 9)]
    assert maker.is_as_fresh(clips[2:])


class Killed(BaseException):
    """The process ends here."""


def kill_at_renaming(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end before it renames a file for the given time, counted from 0."""
    replace = os.replace
    count = iter(range(number))

    def replace_or_die(*paths):
        if next(count, None) is None:
            raise Killed
        replace(*paths)

    monkeypatch.setattr(os, "replace", replace_or_die)


def test_a_kill_at_any_moment_leaves_the_old_store_or_the_new_one(maker, recordings, monkeypatch):
    clips = recordings.clips
    old = maker.extract(clips[:8], "old").digest
    new = maker.extract(clips[1:], "new").digest
    store = maker.folder / "store"
    found = []
    was_killed = True
    while was_killed:
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(maker.folder / "old", store)
        with monkeypatch.context() as patch:
            kill_at_renaming(len(found), patch)
            try:
                maker.extract(clips[1:])
                was_killed = False
            except Killed:
                pass
        found.append(open_store(store).digest)
        maker.extract(clips[1:])
        assert not differing_files(store, maker.folder / "new")
    assert len(found) > 10
    assert found == sorted(found, key=[old, new].index)


def kill_before_the_end(maker: Maker, clips: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract all rows, but do not finish the store."""

    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("asc_mrkd.store.extraction.finish", die)
        with pytest.raises(Killed):
            maker.extract(clips)


def test_an_interrupted_replacement_continues(maker, recordings, read, monkeypatch):
    clips = recordings.clips
    maker.extract(clips[:4])
    kill_before_the_end(maker, clips, monkeypatch)
    read.clear()
    maker.extract(clips)
    assert not read
    assert maker.is_as_fresh(clips)


@pytest.mark.parametrize("later", [slice(0, 4), slice(2, 9)], ids=["the old list", "yet another list"])
def test_a_list_that_changes_during_a_replacement(maker, recordings, monkeypatch, later):
    clips = recordings.clips
    maker.extract(clips[:4])
    kill_before_the_end(maker, clips, monkeypatch)
    maker.extract(clips[later])
    assert maker.is_as_fresh(clips[later])


def test_a_recording_that_changes_during_a_replacement_is_read_again(maker, recordings, monkeypatch):
    clips = recordings.clips
    maker.extract(clips[:4])
    kill_before_the_end(maker, clips, monkeypatch)
    for row in (1, 8):
        write_sound(recordings.root / clips["filename"][row], make_noise(2, 16_000), 32_000)
    with pytest.warns(UserWarning, match="2 recordings have changed"):
        maker.extract(clips)
    assert maker.is_as_fresh(clips)


def test_the_rows_of_an_unfinished_store_are_kept(maker, recordings, read, monkeypatch):
    clips = recordings.clips
    kill_before_the_end(maker, clips[:8], monkeypatch)
    read.clear()
    maker.extract(clips[1:])
    assert len(read) == 2
    assert maker.is_as_fresh(clips[1:])


def test_a_damaged_row_is_not_kept(maker, recordings, read):
    store = maker.extract(recordings.clips[:8])
    features = np.load(store.folder / FEATURES, mmap_mode="r+")
    features[5] = 0
    features.flush()
    read.clear()
    maker.extract(recordings.clips[1:])
    assert read == [Path(recordings.clips["filename"][row]).name for row in (5, 8, 9)]
    assert maker.is_as_fresh(recordings.clips[1:])


@pytest.mark.parametrize("reason", ["no common name", "all changed", "no notes"])
def test_a_store_without_an_unchanged_recording_is_not_replaced(maker, recordings, reason):
    store = maker.extract(recordings.clips[:5])
    others = recordings.clips[5:] if reason == "no common name" else recordings.clips
    if reason == "all changed":
        for name in recordings.clips["filename"]:
            os.utime(recordings.root / name, (1, 1))
    if reason == "no notes":
        (store.folder / SOURCES).unlink()
    with pytest.raises(StoreError, match=r"was made from another list of clips: .* is not in the store"):
        maker.extract(others)
    assert open_store(store.folder).digest == store.digest


def test_whole_recordings_are_kept_when_a_longer_one_makes_pieces_of_all(tmp_path, read):
    for name in ("x/a", "x/b", "y/c", "y/d"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        write_sound(tmp_path / "own" / f"{name}.wav", make_noise(1, 8000), 8000)
    extract(tmp_path / "own", tmp_path / "store", workers=1)
    write_sound(tmp_path / "own" / "y" / "e.wav", make_noise(1, 20_000), 8000)
    read.clear()
    extract(tmp_path / "own", tmp_path / "store", workers=1)
    assert read == ["e.wav"] * 3
    extract(tmp_path / "own", tmp_path / "fresh", workers=1)
    assert not differing_files(tmp_path / "store", tmp_path / "fresh")


def test_a_shard_that_is_extracted_whole_is_no_longer_a_shard(tmp_path):
    root = write_recordings(tmp_path / "set", 8).root
    options = ["--data", root, "--out", tmp_path / "store", "--workers", 1, "--clip-seconds", 0.5]
    assert run_cli("extract-features", *options, "--shard", "1/2").code == 0
    assert run_cli("extract-features", *options).code == 0
    assert not (tmp_path / "store" / SHARD).exists()


def test_shards_of_a_longer_list_replace_the_joined_store(maker, recordings, tmp_path):
    def join(clips: pd.DataFrame) -> None:
        folders = []
        for name in ("1/2", "2/2"):
            shard = parse_shard(name)
            folders.append(maker.extract(shard.select(clips), name.replace("/", "of")).folder)
            mark_shard(folders[-1], shard, clips)
        join_stores(folders, tmp_path / "store")

    join(recordings.clips[:7])
    join(recordings.clips)
    assert maker.is_as_fresh(recordings.clips)
