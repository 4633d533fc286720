"""A data set of several archives: some of them bad, at hand, in the way of each other, or too much for the disk."""

import errno
import os
import re
import shutil
import threading
from collections import namedtuple
from contextlib import contextmanager

import pytest
from helpers.download import files_in
from helpers.files import names_in

from asc_mrkd.download.catalogue import Archive, DataSet
from asc_mrkd.download.dataset import GIVE_UP, fetch
from asc_mrkd.download.plan import PendingArchive, space_needed
from asc_mrkd.errors import DataError, DownloadError


def assert_fetched(scenes, out, *others):
    assert names_in(out) == {"scenes", *others}
    assert files_in(out / "scenes") == scenes.files


@pytest.mark.parametrize("jobs", [1, 3])
def test_archives_come_at_once_and_stay(scenes, server, tmp_path, jobs):
    fetch(scenes.data_set(server, "slow"), tmp_path, jobs=jobs)
    assert_fetched(scenes, tmp_path, *scenes.archives())
    assert (server.most == 1) if jobs == 1 else (1 < server.most <= jobs)
    assert len(server.requests) == len(scenes.archives())
    fetch(scenes.data_set(server, "missing"), tmp_path, jobs=jobs)
    assert len(server.requests) == len(scenes.archives())


@pytest.mark.parametrize(
    "bad", ["missing", "page", "flipped", "short", "long", "endless", "cut-0", "cut-20", "no-range", "no-length"]
)
def test_one_bad_archive_does_not_hold_up_the_others(scenes, server, tmp_path, bad):
    data_set = scenes.data_set(server, "good", audio_2=[bad])
    if bad in ("no-range", "no-length"):
        fetch(data_set, tmp_path)
        assert_fetched(scenes, tmp_path, *scenes.archives())
        return
    with pytest.raises(DownloadError, match=r"scenes\.audio\.2\.zip could not be downloaded") as caught:
        fetch(data_set, tmp_path)
    assert "5 of 6 archives are unpacked" in caught.value.hint
    assert "the same command continues" in caught.value.hint
    assert names_in(tmp_path) == {"scenes.part", *scenes.archives()} - {"scenes.audio.2.zip"}
    server.asked.clear()
    fetch(scenes.data_set(server, "good"), tmp_path)
    assert_fetched(scenes, tmp_path, *scenes.archives())
    assert set(server.asked) == {"scenes.audio.2.zip"}


def test_the_second_address_is_used_for_each(scenes, server, tmp_path):
    fetch(scenes.data_set(server, "flipped", "good"), tmp_path)
    assert_fetched(scenes, tmp_path, *scenes.archives())


def test_several_failures_stop_the_rest(scenes, server, tmp_path):
    with pytest.raises(DownloadError, match="3 archives failed") as caught:
        fetch(scenes.data_set(server, "missing"), tmp_path, jobs=1)
    assert len(set(server.asked)) == GIVE_UP
    assert all(name in str(caught.value) for name in list(scenes.archives())[:GIVE_UP])
    assert not any(tmp_path.iterdir())


def test_archives_are_unpacked_while_others_come(scenes, server, tmp_path):
    events, unpacked = [], threading.Event()

    @contextmanager
    def progress(title, total, unit, done=0):
        if title == "audio.3.zip":
            assert unpacked.wait(10), "nothing was unpacked before the last archive was there"
        yield lambda amount: None
        events.append(title)
        if title.startswith("unpack"):
            unpacked.set()

    fetch(scenes.data_set(server, "good"), tmp_path, jobs=2, progress=progress)
    first = next(index for index, title in enumerate(events) if title.startswith("unpack"))
    assert first < events.index("audio.3.zip")


@pytest.mark.parametrize("jobs", [1, 2])
def test_removed_archives_make_room(scenes, server, tmp_path, jobs):
    most, guard = [], threading.Lock()

    @contextmanager
    def progress(title, total, unit, done=0):
        def count(amount):
            with guard:
                most.append(sum(name.startswith("scenes.") and ".zip" in name for name in names_in(tmp_path)))

        yield count

    fetch(scenes.data_set(server, "good"), tmp_path, remove_archives=True, jobs=jobs, progress=progress)
    assert_fetched(scenes, tmp_path)
    assert 1 <= max(most) <= jobs


def test_archives_elsewhere_are_used_and_stay(scenes, server, tmp_path):
    names = list(scenes.archives())
    scenes.put(tmp_path / "usb", *names[:2])
    scenes.put(tmp_path / "out", names[2])
    fetch(scenes.data_set(server, "good"), tmp_path / "out", given=tmp_path / "usb", remove_archives=True)
    assert_fetched(scenes, tmp_path / "out")
    assert names_in(tmp_path / "usb") == set(names[:2])
    assert set(server.asked) == set(names[3:])
    server.asked.clear()
    fetch(scenes.data_set(server, "good"), tmp_path / "one", given=tmp_path / "usb" / names[1])
    assert set(server.asked) == set(names) - {names[1]}
    assert_fetched(scenes, tmp_path / "one", *server.asked)


def test_what_was_given_is_explained(scenes, server, tmp_path):
    data_set = scenes.data_set(server, "good")
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb/scenes.audio.7.zip").write_bytes(b"")
    for given, message in (
        ("usb", "usb holds no such archive as scenes.doc.zip"),
        ("usb/scenes.audio.7.zip", "has the name of none of the 6 archives"),
        ("nowhere", "nowhere: no such archive"),
    ):
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            fetch(data_set, tmp_path / "out", given=tmp_path / given)
        assert caught.value.hint
    assert not (tmp_path / "out").exists()
    assert not server.requests


def test_a_given_archive_that_was_unpacked_and_removed_is_not_missed(scenes, server, tmp_path):
    name = "scenes.audio.0.zip"
    scenes.put(tmp_path, name)
    arguments = {"given": tmp_path / name, "remove_archives": True}
    with pytest.raises(DownloadError):
        fetch(scenes.data_set(server, "good", audio_3=["missing"]), tmp_path, **arguments)
    assert not (tmp_path / name).exists()
    fetch(scenes.data_set(server, "good"), tmp_path, **arguments)
    assert_fetched(scenes, tmp_path)


def test_a_wrong_archive_at_hand(scenes, server, tmp_path):
    name = "scenes.audio.1.zip"
    body = scenes.archives()[name]
    scenes.put(tmp_path)
    (tmp_path / name).write_bytes(body[:-1])
    with pytest.raises(DataError, match=f"{name} as it was published: .* bytes, not"):
        fetch(scenes.data_set(server, "good"), tmp_path)
    assert names_in(tmp_path) == set(scenes.archives()), "the size is looked at before anything is done"
    (tmp_path / name).write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(DataError, match=f"{name} as it was published: md5 .*, not") as caught:
        fetch(scenes.data_set(server, "good"), tmp_path)
    assert "move it away; the same command downloads it; 5 of 6 archives are unpacked" in caught.value.hint
    (tmp_path / name).unlink()
    fetch(scenes.data_set(server, "good"), tmp_path)
    assert_fetched(scenes, tmp_path, *scenes.archives())
    assert server.asked == [name]


def test_one_file_in_two_archives(scenes, tmp_path):
    scenes.parts["audio.2"]["README.md"] = b"another one"
    scenes.put(tmp_path)
    with pytest.raises(DataError, match=r"audio\.2\.zip holds README\.md with other bytes than an archive before it"):
        fetch(scenes.data_set(), tmp_path)
    assert not (tmp_path / "scenes").exists()


@pytest.mark.parametrize(
    "evil", ["../../escaped", "/tmp/asc-mrkd-escaped", "../other/a.wav", "audio/../../../escaped", "audio/zeros"]
)
def test_an_evil_archive_among_good_ones(scenes, tmp_path, evil):
    content = bytes(10**7) if evil == "audio/zeros" else b"x"
    scenes.parts["audio.2"][evil] = content
    out = tmp_path / "inner" / "out"
    scenes.put(out)
    with pytest.raises(DataError, match=r"audio\.2\.zip: member .* (would be unpacked outside|is more than)"):
        fetch(scenes.data_set(), out, jobs=1, remove_archives=True)
    assert names_in(tmp_path) == {"inner"}
    assert names_in(tmp_path / "inner") == {"out"}
    kept = {f"scenes.{part}.zip" for part in ("audio.2", "audio.3")}
    assert kept <= names_in(out) <= kept | {"scenes.part", "scenes.audio.1.zip"}
    assert not (out / "scenes.part/unpacking").exists()


def test_members_outside_the_folder_of_the_data_set(scenes, tmp_path):
    scenes.put(tmp_path)
    other = DataSet("scenery", scenes.data_set().archives, counts=scenes.counts)
    with pytest.raises(DataError, match=r"member 'scenes/LICENSE' would be unpacked outside scenery"):
        fetch(other, tmp_path)
    assert names_in(tmp_path) == set(scenes.archives())


def test_two_commands_in_one_folder(scenes, tmp_path):
    scenes.put(tmp_path)
    begun, end = threading.Event(), threading.Event()

    @contextmanager
    def progress(title, total, unit, done=0):
        begun.set()
        assert end.wait(10)
        yield lambda amount: None

    first = threading.Thread(target=fetch, args=(scenes.data_set(), tmp_path), kwargs={"progress": progress})
    first.start()
    assert begun.wait(10)
    try:
        with pytest.raises(DataError, match=rf"scenes\.part is being written by process {os.getpid()} on "):
            fetch(scenes.data_set(), tmp_path)
    finally:
        end.set()
        first.join()
    assert_fetched(scenes, tmp_path, *scenes.archives())


@pytest.mark.parametrize("title", ["audio.2.zip", "unpack audio.2.zip"])
def test_a_disk_that_becomes_full(scenes, server, tmp_path, monkeypatch, title):
    usage = namedtuple("usage", "total used free")

    @contextmanager
    def progress(shown, total, unit, done=0):
        def advance(amount):
            if shown == title:
                monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9, 9, 0))
                raise OSError(errno.ENOSPC, "No space left on device")

        yield advance

    data_set = scenes.data_set(server, "good")
    with pytest.raises(DataError, match=r"the disk is full, [\d.]+ KB more are needed") as caught:
        fetch(data_set, tmp_path, jobs=1, progress=progress)
    assert re.search(
        r"make room \(df -h\); [2-4] of 6 archives are unpacked, .* the same command continues", caught.value.hint
    )
    with pytest.raises(DataError, match=r"has 0 bytes left, [\d.]+ KB are needed"):
        fetch(data_set, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetch(data_set, tmp_path)
    assert_fetched(scenes, tmp_path, *scenes.archives())


@pytest.mark.parametrize(
    ("at_hand", "removed", "jobs", "needed"),
    [
        ((False, False, False), (False, False, False), 1, 30 + 60),
        ((False, False, False), (True, True, True), 1, 60 + 10),
        ((False, False, False), (True, True, True), 3, 60 + 10),
        ((True, True, True), (False, False, False), 1, 60),
        ((True, True, True), (True, True, True), 1, 20 + 10 + 10),
    ],
)
def test_space_that_is_needed(tmp_path, at_hand, removed, jobs, needed):
    """Three archives of 10 bytes that unpack to 20 each."""
    archives = tuple(Archive(f"{i}.zip", 10, "", ()) for i in range(3))
    data_set = DataSet("set", archives, unpacked=60)
    pending = [PendingArchive(archives[i], tmp_path / archives[i].name, at_hand[i], removed[i]) for i in range(3)]
    assert space_needed(data_set, pending, jobs) == needed
    (tmp_path / "0.zip.part").write_bytes(bytes(4))
    assert space_needed(data_set, pending, jobs) == needed - (0 if at_hand[0] else 4)
