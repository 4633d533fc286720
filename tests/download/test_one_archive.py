"""Downloads over the loopback interface: whole and right, or refused with a reason and nothing half-made."""

import itertools
import re
import socket

import numpy as np
import pytest
from helpers.download import files_in, md5, tar_of
from helpers.files import names_in
from helpers.progress import RecordedProgress

from asc_mrkd.download import transfer
from asc_mrkd.download.catalogue import Archive, DataSet
from asc_mrkd.download.dataset import fetch
from asc_mrkd.errors import ConfigError, DataError, DownloadError

CONTENT = {f"tiny/{name}": np.random.default_rng(i).bytes(60_000) for i, name in enumerate(("train", "test"))}
FILES = {name.removeprefix("tiny/"): content for name, content in CONTENT.items()}


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    """Bytes of the archive that is published."""
    return tar_of(tmp_path_factory.mktemp("published") / "tiny.tar.gz", CONTENT.items()).read_bytes()


def tiny(server, payload, *behaviours, **changes):
    """Publish the archive and return the row of its data set, whose addresses behave as named."""
    server.bodies["tiny.tar.gz"] = payload
    addresses = tuple(server.address(behaviour, "tiny.tar.gz") for behaviour in behaviours)
    facts = {"size": len(payload), "md5": md5(payload)} | changes
    archive = Archive("tiny.tar.gz", addresses=addresses, **facts)
    return DataSet("tiny", (archive,), files={name: md5(content) for name, content in FILES.items()})


def assert_fetched(out, *others):
    assert names_in(out) == {"tiny", *others}
    assert files_in(out / "tiny") == FILES


def test_fetch_leaves_the_folder_and_the_archive(server, payload, tmp_path):
    assert fetch(tiny(server, payload, "good"), tmp_path / "out") == tmp_path / "out" / "tiny"
    assert_fetched(tmp_path / "out", "tiny.tar.gz")
    assert server.requests == [("good", None)]
    assert (tmp_path / "out" / "tiny").stat().st_mode & 0o055 == 0o055, "others may not read it"


def test_a_folder_with_only_a_file_of_the_system_is_empty(server, payload, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / ".DS_Store").touch()
    fetch(tiny(server, payload, "good"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")


def test_a_complete_folder_needs_no_network_and_is_not_touched(server, payload, tmp_path):
    folder = fetch(tiny(server, payload, "good"), tmp_path)
    before = [path.stat().st_mtime_ns for path in (folder, *folder.iterdir())]
    assert fetch(tiny(server, payload, "missing"), tmp_path) == folder
    assert [path.stat().st_mtime_ns for path in (folder, *folder.iterdir())] == before
    assert len(server.requests) == 1


@pytest.mark.parametrize(("change", "gap"), [("unlink", "test is missing"), ("write", "test has other bytes")])
def test_an_incomplete_folder_is_named_and_kept(server, payload, tmp_path, change, gap):
    folder = fetch(tiny(server, payload, "good"), tmp_path)
    (folder / "test").unlink() if change == "unlink" else (folder / "test").write_bytes(b"other")
    with pytest.raises(DataError, match=f"tiny is there, but not as published: {gap}") as caught:
        fetch(tiny(server, payload, "good"), tmp_path)
    assert caught.value.hint
    assert (folder / "train").read_bytes() == FILES["train"]


def test_an_archive_at_hand_is_used_without_network(server, payload, tmp_path):
    folder = fetch(tiny(server, payload, "good"), tmp_path)
    for path in folder.iterdir():
        path.unlink()
    fetch(tiny(server, payload, "missing"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    renamed = tmp_path / "renamed"
    renamed.write_bytes((tmp_path / "tiny.tar.gz").read_bytes())
    for number, given in enumerate((tmp_path, tmp_path / "tiny.tar.gz", renamed)):
        fetch(tiny(server, payload, "missing"), tmp_path / f"other{number}", given=given, remove_archives=True)
        assert_fetched(tmp_path / f"other{number}")
        assert given.exists()
    assert len(server.requests) == 1


def test_archives_in_the_folder_are_removed_on_request(server, payload, tmp_path):
    fetch(tiny(server, payload, "good"), tmp_path / "downloaded", remove_archives=True)
    assert_fetched(tmp_path / "downloaded")
    (tmp_path / "found").mkdir()
    (tmp_path / "found/tiny.tar.gz").write_bytes(payload)
    fetch(tiny(server, payload, "missing"), tmp_path / "found", given=tmp_path / "found", remove_archives=True)
    assert_fetched(tmp_path / "found")
    (tmp_path / "found/tiny.tar.gz").write_bytes(payload)
    fetch(tiny(server, payload, "missing"), tmp_path / "found", remove_archives=True)
    assert_fetched(tmp_path / "found")
    (tmp_path / "found/tiny.tar.gz").write_text("something else")
    fetch(tiny(server, payload, "missing"), tmp_path / "found", remove_archives=True)
    assert_fetched(tmp_path / "found", "tiny.tar.gz")


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_wrong_archive_at_hand_is_named_and_kept(server, payload, tmp_path, damage):
    wrong = tmp_path / "tiny.tar.gz"
    wrong.write_bytes(payload[:-1] + (b"" if damage == "cut" else bytes([payload[-1] ^ 1])))
    for arguments in ({}, {"given": wrong}):
        with pytest.raises(DataError, match=r"tiny.tar.gz is not tiny.tar.gz as it was published: (md5|[0-9,]+ bytes)"):
            fetch(tiny(server, payload, "good"), tmp_path, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.tar.gz"]
    assert not server.requests


def test_downloads_at_a_time_are_counted_from_one(server, payload, tmp_path):
    with pytest.raises(ConfigError, match="0 downloads at a time are too few") as caught:
        fetch(tiny(server, payload, "good"), tmp_path, jobs=0)
    assert caught.value.hint
    assert not any(tmp_path.iterdir())


def test_an_archive_that_is_not_there(server, payload, tmp_path):
    with pytest.raises(DataError, match=r"nowhere.zip: no such archive"):
        fetch(tiny(server, payload, "good"), tmp_path / "out", given=tmp_path / "nowhere.zip")
    assert not any(tmp_path.iterdir())
    assert not server.requests


@pytest.mark.parametrize("first", ["missing", "page", "flipped", "short", "long", "endless", "cut-0"])
def test_the_second_address_is_used_when_the_first_fails(server, payload, tmp_path, first):
    fetch(tiny(server, payload, first, "good"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    assert server.requests == [(first, None), ("good", None)]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("missing", "404"),
        ("page", "21 bytes, .* were expected"),
        ("short", "bytes, .* were expected"),
        ("long", "bytes, .* were expected"),
        ("endless", "more than"),
        ("flipped", "md5 .*, not"),
        ("cut-0", "IncompleteRead"),
    ],
)
def test_a_failed_download_is_explained_and_leaves_nothing(server, payload, tmp_path, behaviour, reason):
    with pytest.raises(DownloadError, match=f"tiny.tar.gz could not be downloaded; .*{reason}") as caught:
        fetch(tiny(server, payload, behaviour), tmp_path)
    address = server.address(behaviour, "tiny.tar.gz")
    assert address in str(caught.value)
    assert f"download {address} by hand, put it into {tmp_path}" in caught.value.hint
    assert not any(tmp_path.iterdir())
    assert len(server.requests) == 1


def test_no_server_at_all(server, payload, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.tar.gz"
        data_set = DataSet("tiny", (Archive("tiny.tar.gz", 10, "0" * 32, (address,)),))
        with pytest.raises(DownloadError, match=r"NewConnectionError.*refused"):
            fetch(data_set, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_cut_download_goes_on_where_it_ended(server, payload, tmp_path):
    fetch(tiny(server, payload, "cut"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    first, *others = [asked for _, asked in server.requests]
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in others]
    assert first is None
    assert len(starts) >= 2
    assert all(10_000 < later - start <= 50_000 for start, later in itertools.pairwise([0, *starts, len(payload)]))


def test_what_a_failed_command_kept_is_used_by_the_next(server, payload, tmp_path):
    part = tmp_path / "tiny.tar.gz.part"
    part.write_bytes(payload[:70_000])
    with pytest.raises(DownloadError) as caught:
        fetch(tiny(server, payload, "missing"), tmp_path)
    assert f"70,000 of {len(payload):,} bytes are kept" in caught.value.hint
    fetch(tiny(server, payload, "good"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    assert server.requests == [("missing", "bytes=70000-"), ("good", "bytes=70000-")]


@pytest.mark.parametrize("behaviour", ["no-range", "no-length"])
def test_servers_without_ranges_or_lengths(server, payload, tmp_path, behaviour):
    (tmp_path / "tiny.tar.gz.part").write_bytes(payload[:70_000])
    fetch(tiny(server, payload, behaviour), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")


def test_an_address_that_has_moved_is_followed_with_the_range(server, payload, tmp_path):
    (tmp_path / "tiny.tar.gz.part").write_bytes(payload[:70_000])
    fetch(tiny(server, payload, "moved"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    assert server.requests == [("moved", "bytes=70000-"), ("good", "bytes=70000-")]


@pytest.mark.parametrize(
    ("behaviour", "words"), [("page", r"21 bytes, .* were expected"), ("login", "the answer is a web page")]
)
def test_a_page_in_place_of_the_rest_keeps_the_part(server, payload, tmp_path, behaviour, words):
    part = tmp_path / "tiny.tar.gz.part"
    part.write_bytes(payload[:70_000])
    with pytest.raises(DownloadError, match=words):
        fetch(tiny(server, payload, behaviour), tmp_path)
    assert part.read_bytes() == payload[:70_000]


def test_a_kept_part_of_other_bytes_is_thrown_away(server, payload, tmp_path):
    (tmp_path / "tiny.tar.gz.part").write_bytes(bytes(70_000))
    fetch(tiny(server, payload, "good", "good"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    assert server.requests == [("good", "bytes=70000-"), ("good", None)]


def test_a_full_disk_is_foreseen(server, payload, tmp_path):
    with pytest.raises(DataError, match=r"B left, .* EB are needed, .* EB more") as caught:
        fetch(tiny(server, payload, "good", size=10**18), tmp_path)
    assert "--remove-archives" in caught.value.hint
    assert not server.requests
    assert not any(tmp_path.iterdir())


def test_an_archive_without_its_own_folder_and_one_in_several_parts(server, tmp_path):
    parts = []
    for split in ("train", "test"):
        path = tar_of(tmp_path / f"{split}.tar.gz", [(f"./{split}/cat/{i}.png", FILES["test"]) for i in range(3)])
        parts.append(Archive(path.name, path.stat().st_size, md5(path.read_bytes()), ()))
    counts = {"train/*/*.png": 3, "test/*/*.png": 3}
    folder = fetch(DataSet("animals", tuple(parts), counts=counts, has_root=False), tmp_path)
    assert len(files_in(folder)) == 6
    lacking = DataSet("more", tuple(parts), counts=counts | {"test/*/*.png": 4}, has_root=False)
    with pytest.raises(DataError, match=r"do not hold the data set: test/\*/\*\.png gives 3 files, not 4") as caught:
        fetch(lacking, tmp_path)
    assert caught.value.hint.startswith(f"rm -r {tmp_path / 'more.part'}")
    assert names_in(tmp_path) == {"animals", "more.part", "train.tar.gz", "test.tar.gz"}


@pytest.mark.parametrize("evil", ["../escaped", "tiny/../../escaped", "/tmp/asc-mrkd-escaped"])
def test_nothing_is_left_of_an_evil_archive(tmp_path, evil):
    out = tmp_path / "out"
    out.mkdir()
    path = tar_of(out / "tiny.tar.gz", [*CONTENT.items(), (evil, b"x")])
    archive = Archive(path.name, path.stat().st_size, md5(path.read_bytes()), ())
    with pytest.raises(DataError, match=re.escape(f"'{evil}' would be unpacked outside")):
        fetch(DataSet("tiny", (archive,)), out, remove_archives=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "tiny.tar.gz"]


def test_progress_reaches_the_end_of_download_and_archive(server, payload, tmp_path):
    shown = RecordedProgress()
    fetch(tiny(server, payload, "good"), tmp_path, progress=shown)
    assert [task[:4] for task in shown.tasks] == [
        ("tiny.tar.gz", len(payload), "bytes", 0),
        ("unpack tiny.tar.gz", len(payload), "bytes", 0),
    ]
    for *_, advances in shown.tasks:
        assert sum(advances) == len(payload)
        assert min(advances) >= 0


def test_progress_goes_back_when_a_kept_part_is_thrown_away(server, payload, tmp_path):
    (tmp_path / "tiny.tar.gz.part").write_bytes(bytes(70_000))
    shown = RecordedProgress()
    fetch(tiny(server, payload, "good", "good"), tmp_path, progress=shown)
    *_, done, advances = shown.tasks[0]
    assert done == 70_000
    assert done + sum(advances) == len(payload)
    assert min(advances) == -len(payload)


def test_a_busy_server_is_asked_again(server, payload, monkeypatch, tmp_path):
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    fetch(tiny(server, payload, "busy-2"), tmp_path / "later")
    assert len(server.requests) == 3
    with pytest.raises(DownloadError, match="503"):
        fetch(tiny(server, payload, "busy"), tmp_path / "never")
    assert len(server.requests) == 3 + transfer.ROUNDS


@pytest.mark.parametrize("size", [4_096, 4_097, 5_000, 8_191, 8_192, 10_000, 16_383, 30_001, 65_536, 98_305, 120_000])
def test_cut_after_any_number_of_bytes(server, payload, monkeypatch, tmp_path, size):
    """Whole chunks that have arrived are kept; tries, and the next command, go on as long as they bring something."""
    monkeypatch.setattr(transfer, "CHUNK", 4_096)
    part, kept = tmp_path / "tiny.tar.gz.part", size - size % 4_096
    commands = -(-max(len(payload) - size, 0) // kept) // transfer.ROUNDS + 1
    for command in range(1, commands):
        with pytest.raises(DownloadError) as caught:
            fetch(tiny(server, payload, f"cut-{size}"), tmp_path)
        assert len(server.requests) == command * transfer.ROUNDS
        assert part.read_bytes() == payload[: kept * transfer.ROUNDS * command]
        assert f"{part.stat().st_size:,} of {len(payload):,} bytes are kept" in caught.value.hint
    fetch(tiny(server, payload, f"cut-{size}"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    starts = range(0, max(len(payload) - size, 0) + kept, kept)
    assert [asked for _, asked in server.requests] == [f"bytes={start}-" if start else None for start in starts]


@pytest.mark.parametrize("size", [0, 1, 511, 8_191, 32_767])
def test_a_cut_before_the_first_chunk_brings_nothing(server, payload, tmp_path, size):
    with pytest.raises(DownloadError, match="IncompleteRead"):
        fetch(tiny(server, payload, f"cut-{size}"), tmp_path)
    assert len(server.requests) == 1
    assert not any(tmp_path.iterdir())


def test_the_place_of_a_begun_download_is_free_when_the_archive_was_put_there(server, payload, tmp_path):
    (tmp_path / "tiny.tar.gz.part").write_bytes(payload[:70_000])
    (tmp_path / "tiny.tar.gz").write_bytes(payload)
    fetch(tiny(server, payload, "missing"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
