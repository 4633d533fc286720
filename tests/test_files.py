"""Files that are written whole or not at all, on file systems and systems that offer more or less."""

import errno
import multiprocessing
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.files import names_in, refusing

from asc_mrkd.errors import DiskFullError, RunError
from asc_mrkd.files import atomic_writer, has_its_checksum, write_checksum, write_if_different, write_text

fork = multiprocessing.get_context("fork")


def write_until_killed(path: Path) -> None:
    with atomic_writer(path) as stream:
        stream.write(b"half")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def run_in_child(target, *arguments) -> None:
    child = fork.Process(target=target, args=arguments)
    child.start()
    child.join()


def test_f2_6_what_a_killed_writer_has_left_is_gone_after_the_next(tmp_path):
    path = tmp_path / "a.bin"
    write_text(path, "old")
    for _ in range(2):
        run_in_child(write_until_killed, path)
        assert path.read_text() == "old"
        assert len(names_in(tmp_path)) == 2
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names_in(tmp_path) == {"a.bin"}


def test_f2_6_leftovers_of_two_killed_writers_go_and_a_living_one_keeps_its_file(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_writer(path) as first:
        first.write(b"first")
        run_in_child(write_until_killed, path)
        assert len(names_in(tmp_path)) == 2
        write_text(path, "second")
        assert names_in(tmp_path) == {"a.bin", ".a.bin.0.tmp"}
        run_in_child(write_until_killed, path)
    assert path.read_text() == "first"
    write_text(path, "third")
    assert names_in(tmp_path) == {"a.bin"}


def write_under_limit(path: Path, limit: int, write, found) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        with atomic_writer(path, "w" if write is write_lines else "wb") as stream:
            write(stream)
    except DiskFullError as error:
        found.put(str(error))


def write_torch(stream) -> None:
    torch.save({"a": torch.zeros(25_000), "b": torch.zeros(25_000)}, stream)


def write_numpy(stream) -> None:
    np.save(stream, np.zeros(25_000))


def write_zip(stream) -> None:
    np.savez(stream, a=np.zeros(25_000))


def write_lines(stream) -> None:
    for _ in range(20_000):
        stream.write("0123456789")


@pytest.mark.parametrize("write", [write_torch, write_numpy, write_zip, write_lines])
@pytest.mark.parametrize("limit", [0, 4096, 150_000])
def test_f3_1_a_full_disk_is_one_sentence_with_file_and_bytes_whoever_writes(tmp_path, write, limit):
    path = tmp_path / "a.bin"
    with atomic_writer(path, "w" if write is write_lines else "wb") as stream:
        write(stream)
    whole = path.read_bytes()
    found = fork.SimpleQueue()
    run_in_child(write_under_limit, path, limit, write, found)
    missing = len(whole) - limit
    assert found.get() == (
        f"{path} cannot be written: it would exceed the largest size of a file, {missing:,} bytes are missing"
    )
    assert path.read_bytes() == whole
    assert names_in(tmp_path) == {"a.bin"}


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk quota is used up")]
)
def test_f3_1_a_disk_that_notices_late_is_named_too(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr(os, "fsync", refusing(number))
    with pytest.raises(DiskFullError, match=f"a.txt cannot be written: {words}, 5 bytes are missing") as caught:
        write_text(tmp_path / "a.txt", "12345")
    assert "make room" in caught.value.hint
    assert not names_in(tmp_path)


def test_other_errors_of_the_disk_and_of_the_writer_pass_through(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError), atomic_writer(tmp_path / "a.txt", "w"):
        _ = 1 / 0
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "a.txt", "12345")
    assert not names_in(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "a.txt", "x")
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_what_a_killed_writer_of_another_user_left_is_passed_over(tmp_path, monkeypatch):
    left = tmp_path / ".a.txt.0.tmp"
    left.touch()
    monkeypatch.setattr(os, "open", refusing(errno.EACCES, lambda path, *_: Path(path) == left, os.open))
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert names_in(tmp_path) == {"a.txt", left.name}


def test_a_folder_that_takes_no_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", refusing(errno.EACCES))
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a.txt", "whole")


def test_what_is_written_already_is_not_written_again(tmp_path):
    path = tmp_path / "a.txt"
    write_if_different(path, "ä\n")
    first = path.stat().st_ino
    write_if_different(path, "ä\n")
    assert (path.read_bytes(), path.stat().st_ino) == ("ä\n".encode(), first)
    write_if_different(path, "b")
    assert path.read_text() == "b"


def test_a_folder_is_not_overwritten_and_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "a.txt", "x")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert names_in(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL])
def test_t6_modes_and_folders_that_cannot_be_flushed_are_niceties(tmp_path, monkeypatch, number):
    fsync = os.fsync
    monkeypatch.setattr(os, "chmod", refusing(number))
    monkeypatch.setattr(os, "fsync", refusing(number, lambda descriptor: os.path.isdir(f"/dev/fd/{descriptor}"), fsync))
    usual = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "whole")
    finally:
        os.umask(usual)
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_checksum_belongs_to_one_content(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"abc")
    assert has_its_checksum(path)
    write_checksum(path)
    written = (tmp_path / "model.safetensors.sha256").read_text()
    assert written == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  model.safetensors\n"
    assert has_its_checksum(path)
    path.write_bytes(b"abcd")
    assert not has_its_checksum(path)
    assert (has_its_checksum(path, b"abc"), has_its_checksum(path, b"abcd")) == (True, False)


def test_a_checksum_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"abc")
    (tmp_path / "model.safetensors.sha256").mkdir()
    with pytest.raises(RunError, match=r"model\.safetensors\.sha256: Is a directory") as caught:
        has_its_checksum(path)
    assert caught.value.hint == "remove it: without it any model.safetensors is taken"
