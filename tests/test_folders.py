"""Folders that are replaced whole or not at all, and those that may not be."""

import errno
from pathlib import Path

import pytest
from helpers.files import names_in, refusing

from asc_mrkd.errors import RunError
from asc_mrkd.folders import replace_folder, require_replaceable, staging_next_to
from asc_mrkd.locks import LOCK


def write_folder(out: Path, content: str) -> None:
    with staging_next_to(out) as staging:
        assert [path.name for path in staging.iterdir()] == [LOCK]
        (staging / "new").mkdir()
        (staging / "new" / "file").write_text(content)
        replace_folder(staging / "new", out)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"
    (out.parent / ".out.tmp" / "half").mkdir(parents=True)  # of a writer that was killed
    write_folder(out, "first")
    write_folder(out, "second")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    (tmp_path / "link").symlink_to(out)
    write_folder(tmp_path / "link", "third")
    assert ((tmp_path / "link").is_symlink(), (out / "file").read_text()) == (True, "third")
    with staging_next_to(out) as staging:
        with pytest.raises(RunError, match=r"is being written by process \d+"), staging_next_to(out):
            pass
        with pytest.raises(FileNotFoundError):
            replace_folder(staging / "missing", out)
    assert (out / "file").read_text() == "third"
    with pytest.raises(KeyboardInterrupt), staging_next_to(out):
        raise KeyboardInterrupt
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_that_was_moved_away_and_not_replaced_comes_back(tmp_path):
    out = tmp_path / "out"
    write_folder(out, "first")
    with staging_next_to(out) as staging:
        out.rename(staging / "former")  # an error between the two renames
    assert (out / "file").read_text() == "first"
    staging.mkdir()
    out.rename(staging / "former")  # a kill
    with staging_next_to(out):
        assert (out / "file").read_text() == "first"
    assert names_in(tmp_path) == {"out"}


def test_only_an_empty_folder_or_an_earlier_result_may_be_replaced(tmp_path, monkeypatch):
    out = tmp_path / "out"
    require_replaceable(out, False, "an export")
    out.mkdir()
    for name in (".DS_Store", "Desktop.ini", "Thumbs.db"):
        (out / name).touch()
    require_replaceable(out, False, "an export")
    (out / "file").touch()
    require_replaceable(out, True, "an export")
    with pytest.raises(RunError, match="exists and is not an export"):
        require_replaceable(out, False, "an export")
    monkeypatch.chdir(out)
    with pytest.raises(RunError, match="this command runs in it"):
        require_replaceable(Path(), True, "an export")


def test_a_mounted_disk_is_not_replaced(tmp_path, monkeypatch):
    out = tmp_path / "volume"
    out.mkdir()
    message = f"{out} is the root of a disk or a volume"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_mount", lambda path: path == out)
        with pytest.raises(RunError, match=message):
            require_replaceable(out, False, "an export")
    monkeypatch.setattr(Path, "rename", refusing(errno.EBUSY, lambda path, target: path == out, Path.rename))
    with pytest.raises(RunError, match=message) as caught:
        write_folder(out, "new")
    assert caught.value.hint == "choose a folder in it"
    assert names_in(tmp_path) == {"volume"}
