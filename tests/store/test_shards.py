"""Shards: parts of a list, stores of parts, and the join of a complete set of them."""

import numpy as np
import pytest
from helpers.progress import RecordedProgress
from helpers.store import differing_files

from asc_mrkd.datasets import read_dataset
from asc_mrkd.errors import ConfigError, StoreError
from asc_mrkd.store import extract, extract_clips, join_stores, open_store
from asc_mrkd.store.shards import SHARD, mark_shard, parse_shard

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def shards(recordings, spec, tmp_path):
    """Stores of the ten clips in three parts; one clip is bad."""
    (recordings.root / recordings.clips["filename"][4]).write_text("no sound")
    folders = []
    for number in (1, 2, 3):
        folder = tmp_path / f"part {number}"
        extract(recordings.root, folder, spec, shard=f"{number}/3", workers=1)
        folders.append(folder)
    return folders


def test_joined_shards_have_the_bytes_of_a_store_made_in_one_piece(shards, recordings, spec, tmp_path):
    extract_clips(recordings.clips, recordings.root, spec, tmp_path / "whole")
    progress = RecordedProgress()
    joined = join_stores(shards[::-1], tmp_path / "joined", progress)
    assert not differing_files(tmp_path / "joined", tmp_path / "whole")
    assert progress.tasks == [("joining", 9, "rows", 0, [1] * 9)]
    assert joined.clips["status"].value_counts().to_dict() == {"ok": 9, "bad": 1}
    before = (tmp_path / "joined" / "features.npy").stat().st_ino
    join_stores(shards, tmp_path / "joined")
    assert not differing_files(tmp_path / "joined", tmp_path / "whole")
    assert (tmp_path / "joined" / "features.npy").stat().st_ino == before


def test_a_finished_shard_is_not_written_again(shards, recordings, spec):
    before = (shards[0] / SHARD).stat().st_ino
    extract(recordings.root, shards[0], spec, shard="1/3", workers=1)
    assert (shards[0] / SHARD).stat().st_ino == before


def test_a_shard_does_not_replace_another_one(shards, recordings, spec):
    before = (shards[0] / "clips.csv").read_text()
    for other in ("2/3", "1/2"):
        with pytest.raises(StoreError, match=f"part 1 is the store of shard 1/3, not {other}"):
            extract(recordings.root, shards[0], spec, shard=other, workers=1)
    assert (shards[0] / "clips.csv").read_text() == before


def test_only_a_complete_set_of_sound_shards_is_joined(shards, recordings, spec, tmp_path):
    with pytest.raises(StoreError, match=r"shards are missing: 2/3") as caught:
        join_stores([shards[0], shards[2]], tmp_path / "joined")
    assert "--shard 2/3" in caught.value.hint
    with pytest.raises(StoreError, match=r"part 1 and .*part 1 are both shard 1/3"):
        join_stores([shards[0], shards[0], shards[1], shards[2]], tmp_path / "joined")
    with pytest.raises(StoreError, match="no shard was given"):
        join_stores([], tmp_path / "joined")
    mark_shard(shards[1], parse_shard("1/2"), recordings.clips)
    with pytest.raises(StoreError, match=r"part 1 is shard 1/3, .*part 2 is 1/2"):
        join_stores(shards, tmp_path / "joined")
    mark_shard(shards[1], parse_shard("2/3"), recordings.clips[:9])
    with pytest.raises(StoreError, match=r"part 2 and .*part 1 are shards of different lists of clips"):
        join_stores(shards, tmp_path / "joined")
    mark_shard(shards[1], parse_shard("2/3"), read_dataset(recordings.root).clips)
    features = np.load(shards[1] / "features.npy", mmap_mode="r+")
    features[2, 0, 0, 0] += 1
    features.flush()
    with pytest.raises(StoreError, match=r"part 2: row 2 \(audio/.*-a.wav\) is damaged"):
        join_stores(shards, tmp_path / "joined")
    (shards[1] / SHARD).unlink()
    with pytest.raises(StoreError, match="part 2 is not the store of a shard"):
        join_stores(shards, tmp_path / "joined")
    with pytest.raises(StoreError, match="not finished"):
        open_store(tmp_path / "joined")


def test_parts_are_contiguous_and_cover_the_list(recordings):
    for count in range(1, 11):
        parts = [parse_shard(f"{number}/{count}").select(recordings.clips) for number in range(1, count + 1)]
        assert [name for part in parts for name in part["filename"]] == recordings.clips["filename"].tolist()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert all(part.index.tolist() == list(range(len(part))) for part in parts)
    with pytest.raises(ConfigError, match="--shard 3/11: there are only 10 clips"):
        parse_shard("3/11").select(recordings.clips)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3", "01/2"])
def test_a_text_that_is_not_a_shard(text):
    with pytest.raises(ConfigError, match=f"--shard {text} is not a shard of the form 3/8"):
        parse_shard(text)
