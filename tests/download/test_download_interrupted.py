"""Killed or interrupted at any moment: nothing half is taken for whole, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path

import pytest

from asc_mrkd.download import dataset as fetching

COMMAND = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
from asc_mrkd.cli import main
from asc_mrkd.datasets import archives
row = json.loads(sys.argv.pop(1))
row["archives"] = tuple(archives.Archive(*each, tuple(addresses)) for *each, addresses in row["archives"])
archives.DATA_SETS = {"scenes": archives.DataSet(**row)}
main()
"""
"""`asc-mrkd` with one data set that is given as JSON."""


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(scenes, folder):
    folder.mkdir()
    for name, body in scenes.archives().items():
        (folder / name).write_bytes(body)


def killed_at(call, data_set, out, remove):
    """Fetch in a copy of this process that is killed before the `call`th change of the disk; return if it was."""
    changes = 0

    def counted(function):
        def change(*arguments, **options):
            nonlocal changes
            changes += 1
            if changes > call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return change

    child = os.fork()
    if child == 0:
        for name in ("replace", "rename", "mkdir", "sync", "rmdir", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        fetching.unpack = counted(fetching.unpack)
        Path.unlink = counted(Path.unlink)
        try:
            fetching.fetch(data_set, out, remove_archives=remove)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("remove", [False, True])
def test_killed_before_any_change_of_the_disk(few_scenes, tmp_path, remove):
    scenes = few_scenes
    data_set, kills = scenes.data_set(), 0
    for call in range(1000):
        out = tmp_path / str(call)
        put(scenes, out)
        if not killed_at(call, data_set, out, remove):
            break
        kills += 1
        names = {path.name for path in out.iterdir()}
        assert names <= {"scenes", "scenes.part", *scenes.archives()}
        if "scenes" in names:
            assert files_in(out / "scenes") == scenes.files
        unpacked = [name for name in scenes.archives() if any((out / "scenes.part").glob(f"{name}.*"))]
        assert remove or set(scenes.archives()) <= names
        assert "scenes" in names or set(scenes.archives()) <= {*names, *unpacked}, "neither archive nor content"
        opened = []
        watch(data_set, out, remove, opened)
        assert not set(opened) & set(unpacked), "unpacked again"
        assert files_in(out / "scenes") == scenes.files
        assert {path.name for path in out.iterdir()} == {"scenes", *(() if remove else scenes.archives())}
    assert kills > 30


def watch(data_set, out, remove, opened):
    """Fetch and note the archives that are unpacked."""

    @contextmanager
    def progress(title, size, done):
        opened.append(title.removeprefix("unpack "))
        yield lambda position: None

    fetching.fetch(data_set, out, remove_archives=remove, progress=progress)


def start(data_set, out, *options):
    row = json.dumps(asdict(data_set) | {"archives": [astuple(archive) for archive in data_set.archives]})
    arguments = [sys.executable, "-c", COMMAND, row, "download", "scenes", "--out", str(out), *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_stopped_goes_on(scenes, server, tmp_path, number):
    name = "scenes.audio.3.zip"
    scenes.parts["audio.3"]["audio/3-0.wav"] = os.urandom(200_000)
    part = tmp_path / f"{name}.part"
    body = scenes.archives()[name]
    whole = len(scenes.archives()) - 1
    process = start(scenes.data_set(server, "good", audio_3=["drip"]), tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size and len(list(tmp_path.glob("scenes.part/*.zip.*"))) == whole)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert out == ""
    if number == signal.SIGINT:
        assert process.returncode == 3
        assert f"interrupted: what has arrived is kept in {tmp_path}, the same command continues\n" in err
    kept = part.read_bytes()
    assert 0 < len(kept) < len(body)
    assert body.startswith(kept)
    server.requests.clear()
    again = start(scenes.data_set(server, "good"), tmp_path, "--remove-archives")
    out, err = again.communicate(timeout=30)
    assert (again.returncode, out) == (0, f"{tmp_path / 'scenes'}\n"), err
    assert server.requests == [("good", f"bytes={len(kept)}-")]
    assert files_in(tmp_path / "scenes") == scenes.files
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
