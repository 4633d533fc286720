"""Downloads over the loopback interface: whole and right, or refused with a reason and nothing half-made."""

import hashlib
import http.server
import io
import itertools
import re
import socket
import tarfile
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from asc_mrkd.data.archives import DATA_SETS, Archive, DataSet, fetch
from asc_mrkd.errors import DataError, DownloadError

CONTENT = {f"tiny/{name}": np.random.default_rng(i).bytes(60_000) for i, name in enumerate(("train", "test"))}
FILES = {name.removeprefix("tiny/"): content for name, content in CONTENT.items()}


def md5(content):
    return hashlib.md5(content).hexdigest()


def tar_of(path, members):
    """Write a .tar.gz of (name, content)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    """Bytes of the archive that is published."""
    return tar_of(tmp_path_factory.mktemp("published") / "tiny.tar.gz", CONTENT.items()).read_bytes()


class Server(http.server.ThreadingHTTPServer):
    """Serves one body at every path, as the path says; notes path and range of every request."""

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.requests = body, []

    def address(self, behaviour):
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/tiny.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaviours: good, no-range, no-length, cut, cut-at-0, flipped, short, long, endless, missing, page."""

    def do_GET(self):
        behaviour, body = self.path.split("/")[1], self.server.body
        asked = self.headers["Range"]
        self.server.requests.append((behaviour, asked))
        if behaviour in ("missing", "page"):
            return self.answer(404 if behaviour == "missing" else 200, b"<html>not here</html>")
        changed = {
            "flipped": bytes([body[0] ^ 1]) + body[1:],
            "short": body[:-1],
            "long": body + b"x",
            "endless": body * 20,
        }
        body = changed.get(behaviour, body)
        first = 0 if behaviour == "no-range" or asked is None else int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        rest = body[first:]
        sent = {"cut": rest[:50_000], "cut-at-0": b""}.get(behaviour, rest)
        length = None if behaviour in ("no-length", "endless") else len(rest)
        return self.answer(206 if first else 200, sent, length)

    def answer(self, status, sent, length=-1):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(sent) if length < 0 else length))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *arguments):
        """Print nothing."""


@pytest.fixture
def server(payload, monkeypatch):
    """A server of the archive on this machine, past any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(payload) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def row(server, payload):
    """Return a function that makes the row of a data set whose addresses behave as named."""

    def make(*behaviours, **changes):
        addresses = tuple(server.address(behaviour) for behaviour in behaviours)
        facts = {"size": len(payload), "md5": md5(payload)} | changes
        archive = Archive("tiny.tar.gz", addresses=addresses, **facts)
        return DataSet("tiny", (archive,), files={name: md5(content) for name, content in FILES.items()})

    return make


def assert_fetched(out, *others):
    assert {path.name for path in out.iterdir()} == {"tiny", *others}
    assert files_in(out / "tiny") == FILES


def test_fetch_leaves_the_folder_and_nothing_else(row, server, tmp_path):
    assert fetch(row("good"), tmp_path / "out") == tmp_path / "out" / "tiny"
    assert_fetched(tmp_path / "out")
    assert server.requests == [("good", None)]
    assert (tmp_path / "out" / "tiny").stat().st_mode & 0o055 == 0o055, "others may not read it"


def test_a_complete_folder_needs_no_network_and_is_not_touched(row, server, tmp_path):
    folder = fetch(row("good"), tmp_path)
    before = [path.stat().st_mtime_ns for path in (folder, *folder.iterdir())]
    assert fetch(row("missing"), tmp_path) == folder
    assert [path.stat().st_mtime_ns for path in (folder, *folder.iterdir())] == before
    assert len(server.requests) == 1


@pytest.mark.parametrize(("change", "gap"), [("unlink", "test is missing"), ("write", "test has other bytes")])
def test_an_incomplete_folder_is_named_and_kept(row, tmp_path, change, gap):
    folder = fetch(row("good"), tmp_path)
    (folder / "test").unlink() if change == "unlink" else (folder / "test").write_bytes(b"other")
    with pytest.raises(DataError, match=f"tiny is there, but not as published: {gap}") as caught:
        fetch(row("good"), tmp_path)
    assert caught.value.hint
    assert (folder / "train").read_bytes() == FILES["train"]


def test_archive_is_kept_on_demand_and_used_without_network(row, server, tmp_path):
    folder = fetch(row("good"), tmp_path, keep_archives=True)
    assert_fetched(tmp_path, "tiny.tar.gz")
    for path in folder.iterdir():
        path.unlink()
    fetch(row("missing"), tmp_path)
    assert_fetched(tmp_path, "tiny.tar.gz")
    for number, given in enumerate((tmp_path, tmp_path / "tiny.tar.gz")):
        fetch(row("missing"), tmp_path / f"other{number}", given=given)
        assert_fetched(tmp_path / f"other{number}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_wrong_archive_at_hand_is_named_and_kept(row, server, payload, tmp_path, damage):
    wrong = tmp_path / "tiny.tar.gz"
    wrong.write_bytes(payload[:-1] + (b"" if damage == "cut" else bytes([payload[-1] ^ 1])))
    for arguments in ({}, {"given": wrong}):
        with pytest.raises(DataError, match=r"tiny.tar.gz is not tiny.tar.gz as it was published: (md5|[0-9,]+ bytes)"):
            fetch(row("good"), tmp_path, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.tar.gz"]
    assert not server.requests


def test_an_archive_that_is_not_there(row, server, tmp_path):
    with pytest.raises(DataError, match=r"nowhere.zip: no such archive"):
        fetch(row("good"), tmp_path / "out", given=tmp_path / "nowhere.zip")
    assert not any(tmp_path.iterdir())
    assert not server.requests


@pytest.mark.parametrize("first", ["missing", "page", "flipped", "short", "long", "endless", "cut-at-0"])
def test_the_second_address_is_used_when_the_first_fails(row, server, tmp_path, first):
    fetch(row(first, "good"), tmp_path)
    assert_fetched(tmp_path)
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
        ("cut-at-0", "IncompleteRead"),
    ],
)
def test_a_failed_download_is_explained_and_leaves_nothing(row, server, tmp_path, behaviour, reason):
    with pytest.raises(DownloadError, match=f"tiny.tar.gz could not be downloaded; .*{reason}") as caught:
        fetch(row(behaviour), tmp_path)
    assert server.address(behaviour) in str(caught.value)
    assert f"download {server.address(behaviour)} by hand, put it into {tmp_path}" in caught.value.hint
    assert not any(tmp_path.iterdir())
    assert len(server.requests) == 1


def test_no_server_at_all(row, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.tar.gz"
        data_set = DataSet("tiny", (Archive("tiny.tar.gz", 10, "0" * 32, (address,)),))
        with pytest.raises(DownloadError, match=r"NewConnectionError.*refused"):
            fetch(data_set, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_cut_download_goes_on_where_it_ended(row, server, payload, tmp_path):
    fetch(row("cut"), tmp_path)
    assert_fetched(tmp_path)
    first, *others = [asked for _, asked in server.requests]
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in others]
    assert first is None
    assert len(starts) >= 2
    assert all(10_000 < later - start <= 50_000 for start, later in itertools.pairwise([0, *starts, len(payload)]))


def test_what_a_failed_command_kept_is_used_by_the_next(row, server, payload, tmp_path):
    part = tmp_path / "tiny.tar.gz.part"
    part.write_bytes(payload[:70_000])
    with pytest.raises(DownloadError) as caught:
        fetch(row("missing"), tmp_path)
    assert f"70,000 of {len(payload):,} bytes are kept" in caught.value.hint
    fetch(row("good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.requests == [("missing", "bytes=70000-"), ("good", "bytes=70000-")]


@pytest.mark.parametrize("behaviour", ["no-range", "no-length"])
def test_servers_without_ranges_or_lengths(row, payload, tmp_path, behaviour):
    (tmp_path / "tiny.tar.gz.part").write_bytes(payload[:70_000])
    fetch(row(behaviour), tmp_path)
    assert_fetched(tmp_path)


def test_a_kept_part_of_other_bytes_is_thrown_away(row, server, tmp_path):
    (tmp_path / "tiny.tar.gz.part").write_bytes(bytes(70_000))
    fetch(row("good", "good"), tmp_path)
    assert_fetched(tmp_path)
    assert server.requests == [("good", "bytes=70000-"), ("good", None)]


def test_a_full_disk_is_foreseen(row, server, tmp_path):
    with pytest.raises(DataError, match=r"GB left, .* GB are needed"):
        fetch(row("good", size=10**18), tmp_path)
    assert not server.requests


def test_an_archive_without_its_own_folder_and_one_in_several_parts(server, tmp_path):
    parts = []
    for split in ("train", "test"):
        path = tar_of(tmp_path / f"{split}.tar.gz", [(f"./{split}/cat/{i}.png", FILES["test"]) for i in range(3)])
        parts.append(Archive(path.name, path.stat().st_size, md5(path.read_bytes()), ()))
    counts = {"train/*/*.png": 3, "test/*/*.png": 3}
    folder = fetch(DataSet("animals", tuple(parts), counts=counts, has_root=False), tmp_path)
    assert len(files_in(folder)) == 6
    lacking = DataSet("more", tuple(parts), counts=counts | {"test/*/*.png": 4}, has_root=False)
    with pytest.raises(DataError, match=r"does not hold the data set: test/\*/\*.png gives 3 files, not 4"):
        fetch(lacking, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"animals", "train.tar.gz", "test.tar.gz"}


@pytest.mark.parametrize("evil", ["../escaped", "tiny/../../escaped", "/tmp/asc-mrkd-escaped"])
def test_nothing_is_left_of_an_evil_archive(tmp_path, evil):
    out = tmp_path / "out"
    out.mkdir()
    path = tar_of(out / "tiny.tar.gz", [*CONTENT.items(), (evil, b"x")])
    archive = Archive(path.name, path.stat().st_size, md5(path.read_bytes()), ())
    with pytest.raises(DataError, match=re.escape(f"'{evil}' would be unpacked outside")):
        fetch(DataSet("tiny", (archive,)), out)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "tiny.tar.gz"]


def test_progress_reaches_the_end_of_download_and_archive(row, payload, tmp_path):
    seen = []

    @contextmanager
    def progress(title, size, done):
        positions = [done]
        yield positions.append
        seen.append((title, size, positions))

    fetch(row("good"), tmp_path, progress=progress)
    assert [title for title, _, _ in seen] == ["tiny.tar.gz", "unpack tiny.tar.gz"]
    for _, size, positions in seen:
        assert size == len(payload)
        assert positions == sorted(positions)
    assert seen[0][2][-1] == len(payload)


def test_the_table_is_well_formed():
    for data_set in DATA_SETS.values():
        assert data_set.files or data_set.counts, "nothing to tell a complete folder by"
        for archive in data_set.archives:
            assert re.fullmatch("[0-9a-f]{32}", archive.md5)
            assert archive.size > 10**8
            assert all(address.startswith("https://") for address in archive.addresses)
    assert DATA_SETS["cifar10"].archives[0].md5 == "c58f30108f718f92721af3b95e74349a"
    assert DATA_SETS["cifar100"].archives[0].md5 == "eb9058c3a382ffc7106e4002c42a8d85"
    assert DATA_SETS["cinic10"].archives[0].md5 == "6ee4d0c996905fe93221de577967a372"
    assert sum(DATA_SETS["cinic10"].counts.values()) == 270_000
