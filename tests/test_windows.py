"""The whole chain of verbs without what Windows lacks, as far as Linux can play it: no fcntl, no alarms, no hang-up
signal, no flush of folders or disks, positions instead of pread and pwrite, a lock of its own kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.data import link_scenes
from helpers.recipes import RECIPES

SITE = """
import errno, os, signal, subprocess, sys, types
import asyncio.selector_events  # asks for os.sysconf where sockets have sendmsg, which Windows does not
import fcntl

LACKING = {
    os: ("sync", "pwrite", "pread", "sched_getaffinity", "sched_setaffinity", "sysconf", "fork", "killpg", "fchmod"),
    signal: ("setitimer", "SIGALRM", "SIGHUP", "SIGKILL", "ITIMER_REAL"),
}
for module, names in LACKING.items():
    for name in names:
        delattr(module, name)

def locking(descriptor, mode, size, flock=fcntl.flock, flags=fcntl.LOCK_EX | fcntl.LOCK_NB):
    try:
        flock(descriptor, flags)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None

sys.modules["fcntl"] = sys.modules["resource"] = None
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)

def open_file(path, *arguments, open=os.open, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return open(path, *arguments, **options)

os.open = open_file

import multiprocessing

multiprocessing.get_all_start_methods = lambda: ["spawn"]
"""

CHAIN = """
import sys
from asc_mrkd.cli import main

if __name__ == "__main__":
    scenes, conf = "scenes/TUT-urban-acoustic-scenes-2018-development", sys.argv[1]
    short = ["data.store=store", "train.epochs=1", "--seeds", "0-1"]
    for command in (
        ["doctor"],
        ["make-scenes", "scenes", "--clips-per-class", "2", "--workers", "1"],
        ["check-data", scenes, "--workers", "1"],
        ["extract-features", "--data", scenes, "--spec", "pmel256", "--out", "store", "--workers", "2"],
        ["train", conf, "method=ce", *short, "--out", "ce"],
        ["train", conf, *short, "--out", "mrkd"],
        ["evaluate", "ce"],
        ["compare", "ce", "mrkd"],
        ["report", "ce", "mrkd", "--out", "report.html"],
        ["check-budget", "ce", "--rule", "dcase2024-task1"],
        ["predict", "ce", scenes + "/audio"],
        ["submit", "make", "ce", "--task", "dcase2018-task1a", "--label", "Doe_INST_task1a_1", "--out", "entry"],
        ["recipes", "cp", "dcase18", "mine"],
    ):
        sys.argv = ["asc-mrkd", *command]
        try:
            main()
        except SystemExit as end:
            print(command[0], end.code, file=sys.stderr)
            if end.code not in (0, 1):
                raise
"""


@pytest.mark.slow
def test_f3_6_every_verb_runs_without_what_windows_lacks(few_scenes, tmp_path):
    next(link_scenes(few_scenes, tmp_path / "scenes").glob("audio/*.wav")).unlink()  # make-scenes makes it
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    (tmp_path / "chain.py").write_text(CHAIN)
    paths = [str(tmp_path / "site"), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "chain.py", RECIPES / "dcase18/conf/reduced.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "error:" not in done.stderr
    assert (tmp_path / "entry").is_dir()
