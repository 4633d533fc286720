"""Killed or interrupted at any moment: nothing half is taken for whole, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, astuple
from pathlib import Path

import pytest
from helpers.download import Scenes, files_in
from helpers.progress import RecordedProgress

from asc_mrkd.download import dataset as fetching
from asc_mrkd.download import staging

pytestmark = pytest.mark.slow

COMMAND = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
from asc_mrkd.cli import main
from asc_mrkd.download import catalogue
row = json.loads(sys.argv.pop(1))
row["archives"] = tuple(catalogue.Archive(*each, tuple(addresses)) for *each, addresses in row["archives"])
catalogue.DATA_SETS = {"scenes": catalogue.DataSet(**row)}
main()
"""
"""`asc-mrkd` with one data set that is given as JSON."""


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
        staging.unpack = counted(staging.unpack)
        Path.unlink = counted(Path.unlink)
        try:
            fetching.fetch(data_set, out, remove_archives=remove)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("remove", [False, True])
def test_killed_before_any_change_of_the_disk(tmp_path, remove):
    scenes = Scenes(parts=1, clips=1)
    data_set, kills = scenes.data_set(), 0
    for call in range(1000):
        out = tmp_path / str(call)
        scenes.put(out)
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
        shown = RecordedProgress()
        fetching.fetch(data_set, out, remove_archives=remove, progress=shown)
        opened = {f"scenes.{title.removeprefix('unpack ')}" for title, *_ in shown.tasks}
        assert not opened & set(unpacked), "unpacked again"
        assert files_in(out / "scenes") == scenes.files
        assert {path.name for path in out.iterdir()} == {"scenes", *(() if remove else scenes.archives())}
    assert kills > 30


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
def test_f3_8_a_command_that_is_stopped_goes_on(scenes, server, tmp_path, number):
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
        assert f"error: interrupted: everything that has arrived is kept in {tmp_path}\n" in err
        assert "hint: the same command continues\n" in err
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
