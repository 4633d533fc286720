"""make-images and download, as typed."""

import hashlib
import io
import json
import tarfile

import pytest
from helpers.cli import run_cli
from PIL import Image

from asc_mrkd.download import catalogue


def test_make_images(tmp_path):
    command = "make-images", tmp_path / "set", "--classes", 3, "--per-class", 5, "--seed", 7, "--workers", 1
    code, out, err = run_cli(*command)
    assert (code, out) == (0, f"{tmp_path / 'set'}\n")
    assert "15/15 images" in err
    paths = sorted((tmp_path / "set").rglob("*.png"))
    assert [path.parts[-3] for path in paths] == ["test"] * 3 + ["train"] * 12
    assert {Image.open(path).size for path in paths} == {(32, 32)}
    before = [path.stat().st_mtime_ns for path in paths]
    assert run_cli(*command).code == 0
    assert [path.stat().st_mtime_ns for path in paths] == before


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set by the name `tiny` without an address; its archive, which holds one file."""
    path = tmp_path / "tiny.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("tiny/train")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"data"))
    archive = catalogue.Archive(path.name, path.stat().st_size, hashlib.md5(path.read_bytes()).hexdigest(), ())
    row = catalogue.DataSet("tiny", (archive,), files={"train": hashlib.md5(b"data").hexdigest()})
    monkeypatch.setattr(catalogue, "DATA_SETS", {"tiny": row})
    return path


def test_download_takes_an_archive_at_hand(tiny, tmp_path):
    code, out, err = run_cli("download", "tiny", "--out", tmp_path / "data", "--archive", tiny)
    assert (code, out) == (0, f"{tmp_path / 'data' / 'tiny'}\n")
    assert (tmp_path / "data/tiny/train").read_bytes() == b"data"
    assert tiny.is_file()
    code, again, err = run_cli("download", "tiny", "--out", tmp_path / "data")
    assert (code, again) == (0, out)
    assert err == "tiny was there already and is complete\n"


def test_download_removes_archives_on_request(tiny, tmp_path):
    code, out, _ = run_cli("download", "tiny", "--out", tmp_path, "--json", "--remove-archives")
    assert (code, json.loads(out)) == (0, {"name": "tiny", "folder": str(tmp_path / "tiny")})
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_download_lists_what_there_is():
    for command in (("download",), ("download", "--list")):
        code, out, err = run_cli(*command)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[1].split()[:4] == ["name", "archives", "GB", "unpacked"]
        assert lines[2].split()[:4] == ["dcase18", "15", "21.4", "24.9"]
        assert "non-commercial" in out
    records = json.loads(run_cli("download", "--list", "--json").out)
    assert {"dcase18", "dcase20", "cifar10", "cifar100", "cinic10"} <= {record["name"] for record in records}
    (record,) = json.loads(run_cli("download", "dcase20", "--list", "--json").out)
    assert record["bytes"] == sum(archive["size"] for archive in record["archives"]) == 35_543_717_092


def test_download_names_a_folder_that_is_not_complete(tiny, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/notes").write_text("mine")
    code, out, err = run_cli("download", "tiny", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert f"error: {tmp_path / 'tiny'} is there, but not as published: train is missing\nhint: " in err
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("make-images new --classes 101", "--classes': Input should be less than or equal to 100", "make-images -h"),
        ("make-images new --per-class 1", "--per-class': Input should be greater than or equal to 2", "make-images -h"),
        ("make-images notes", "notes: Not a directory", "can hold 3 MB"),
        ("download cifar11", "there is no data set 'cifar11'", "did you mean 'cifar1"),
        ("download dcase2018", "there is no data set 'dcase2018'", "did you mean 'dcase18'"),
        ("download dcase18 --archive notes --out new", "notes has the name of none of the 15 archives", "known: TUT"),
        ("download cifar10 --jobs 0", "'--jobs' / '-j': Input should be greater", "download -h"),
        ("download cifar10 --archive missing.tar.gz --out new", "missing.tar.gz: no such archive", "--archive"),
        ("download cifar10 --archive notes --out new", "notes is not cifar-10-python.tar.gz", "move it away"),
    ],
)
def test_wrong_input_is_explained(tmp_path, monkeypatch, command, message, hint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("no archive")
    code, out, err = run_cli(*command.split())
    assert (code, out) == (2, "")
    error, advice = err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
