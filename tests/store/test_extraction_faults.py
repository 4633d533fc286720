"""Extraction is killed, crowded, starved of disk and hurt by its own workers; the store ends with the same bytes."""

import contextlib
import math
import multiprocessing
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers.cli import command_line
from helpers.store import Recordings, differing_files, extract_by_verb, write_spec

from asc_mrkd.errors import DiskFullError, StoreError
from asc_mrkd.features import Frontend, FrontendSpec
from asc_mrkd.locks import LOCK, exclusive_lock
from asc_mrkd.store import extract_clips, open_store
from asc_mrkd.store.journal import Journal, journal_line
from asc_mrkd.store.layout import FEATURES, JOURNAL, PENDING, STATS, write_table
from asc_mrkd.store.worker import RowResult

fork = multiprocessing.get_context("fork")


def start_extraction(many: Recordings, spec: FrontendSpec, out: Path) -> multiprocessing.Process:
    """Start an extraction of the many clips with two workers in a separate process."""
    Frontend(spec)  # imports once what every fork would import again
    process = fork.Process(target=extract_clips, args=(many.clips, many.root, spec, out), kwargs={"workers": 2})
    process.start()
    return process


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
def test_killed_parents_leave_no_workers_and_the_next_call_continues(many, spec, whole, tmp_path):
    journal = tmp_path / "store" / JOURNAL
    rng = random.Random(0)
    for _ in range(2):
        process = start_extraction(many, spec, tmp_path / "store")
        limit = lines(journal) + rng.randint(0, 20)
        wait_for(lambda process=process, limit=limit: lines(journal) >= limit or not process.is_alive())
        workers = psutil.Process(process.pid).children(recursive=True) if process.is_alive() else []
        process.kill()
        process.join()
        assert not psutil.wait_procs(workers, timeout=10)[1]
    extract_clips(many.clips, many.root, spec, tmp_path / "store", workers=2)
    assert not differing_files(tmp_path / "store", whole)


@pytest.mark.slow
def test_killed_workers_do_not_stop_the_run(many, spec, whole, tmp_path):
    process = start_extraction(many, spec, tmp_path / "store")
    rng = random.Random(0)
    rounds = 0
    while process.is_alive() and rounds < 3:
        time.sleep(rng.random())
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            workers = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
            for worker in workers:
                worker.kill()
            rounds += bool(workers)
    process.join()
    assert process.exitcode == 0
    assert rounds
    assert not differing_files(tmp_path / "store", whole)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(many, spec, whole, tmp_path):
    write_spec(tmp_path / "spec.yaml")
    options = ["--data", many.root, "--workers", 2, "--spec", tmp_path / "spec.yaml", "--out", tmp_path / "store"]
    command = command_line("extract-features", *options)
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: lines(tmp_path / "store" / JOURNAL) > 0)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.splitlines()[-2:] == [f"error: {tmp_path / 'store'}: interrupted", "hint: the same command continues"]
    assert "Traceback" not in err
    assert 0 < lines(tmp_path / "store" / JOURNAL) < len(many.clips)
    extract_clips(many.clips, many.root, spec, tmp_path / "store")
    assert not differing_files(tmp_path / "store", whole)


@pytest.fixture
def interrupted(whole, tmp_path):
    """Copy the finished store and take back that it was finished: all rows in the journal, all clips pending."""
    folder = tmp_path / "store"
    shutil.copytree(whole, folder)
    clips = open_store(folder).clips
    (folder / JOURNAL).write_text("".join(journal_line(row, crc, "") for row, crc in enumerate(clips["crc32"])))
    write_table(folder, clips.assign(status=PENDING))
    (folder / STATS).unlink()
    return folder


@pytest.mark.parametrize("keep", [0, 7, 1000, -3])
def test_lost_lines_and_lost_rows_are_done_again(keep, many, spec, whole, interrupted):
    journal = interrupted / JOURNAL
    journal.write_bytes(journal.read_bytes()[:keep])
    features = np.load(interrupted / FEATURES, mmap_mode="r+")
    features[[3, 40, -1]] = 0  # as when a power cut takes pages that were not on the disk yet
    features.flush()
    with pytest.raises(StoreError, match="not finished, 120 clips are missing"):
        open_store(interrupted)
    extract_clips(many.clips, many.root, spec, interrupted)
    assert not differing_files(interrupted, whole)


def test_journal_cut_at_any_byte_believes_whole_lines_only(tmp_path):
    rows = {row: 2**32 - 1 - row for row in range(30)}
    text = "".join(journal_line(row, crc, "") for row, crc in rows.items()).encode()
    for length in range(len(text) + 1):
        (tmp_path / JOURNAL).write_bytes(text[:length])
        journal = Journal(tmp_path)
        assert journal.checksums == {row: rows[row] for row in range(text[:length].count(b"\n"))}
        with journal:
            journal.write(RowResult(99, crc32=5))
        assert (tmp_path / JOURNAL).read_bytes().splitlines()[-1] == b"99,5,"


def test_journal_full_of_rubbish_is_not_believed(tmp_path):
    (tmp_path / JOURNAL).write_bytes(b"\0\0\0\n1,x,\n2,5\n-3,5,\n\xff,5,\n6,7,\n7,,silent\n")
    assert Journal(tmp_path).checksums == {6: 7}


def test_workers_never_change_a_byte(recordings, spec, tmp_path):
    for workers in (1, 2):
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / str(workers), workers=workers)
    assert not differing_files(tmp_path / "1", tmp_path / "2")


def test_second_extraction_is_refused_with_the_number_of_the_first(recordings, spec, tmp_path):
    (tmp_path / "store").mkdir()
    with (
        exclusive_lock(tmp_path / "store"),
        pytest.raises(StoreError, match=f"is being written by process {os.getpid()} on "),
    ):
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
    extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
    assert not (tmp_path / "store" / LOCK).exists()


FULL_DISK = """
import pathlib, sys
from unittest import mock
from asc_mrkd.datasets import read_dataset
from asc_mrkd.features import load_spec
from asc_mrkd.store import extract_clips
from asc_mrkd.store.journal import Journal

root, spec, out = map(pathlib.Path, sys.argv[1:])
clips = read_dataset(root).clips
def attempt():
    try:
        extract_clips(clips, root, load_spec(spec), out / "store")
        print("finished")
    except Exception as error:
        print(type(error).__name__, error, error.hint)
    journal = Journal(out / "store")
    print(len(journal.checksums))
attempt()
with mock.patch("asc_mrkd.store.extraction.check_space"):
    attempt()
"""


def run_on_small_disk(path: Path, command: list[str]) -> subprocess.CompletedProcess:
    """Run a command with a disk of 160 KiB at a path, also without the rights of root."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is missing")
    path.mkdir()
    script = f"mount -t tmpfs -o size=160k none {shlex.quote(str(path))} && {shlex.join(command)}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, text=True
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no file system of our own can be mounted here: {done.stderr.strip()}")
    return done


@pytest.mark.slow
def test_full_disk_says_how_much_is_missing_and_leaves_a_valid_journal(many, spec, tmp_path):
    write_spec(tmp_path / "spec.yaml")
    size = len(many.clips) * math.prod(spec.shape) * 2
    disk = tmp_path / "disk"
    command = [sys.executable, "-c", FULL_DISK, str(many.root), str(tmp_path / "spec.yaml"), str(disk)]
    done = run_on_small_disk(disk, command)
    refused, rows_before, stopped, rows_after = done.stdout.splitlines()
    missing = [
        int(re.search(r"the disk is full, ([\d,]+) bytes are missing", line)[1].replace(",", ""))
        for line in (refused, stopped)
    ]
    assert size - 160 * 2**10 < missing[0] < size
    assert rows_before == "0"
    assert 0 < int(rows_after) < len(many.clips)
    assert missing[0] <= missing[1] < size - int(rows_after) * math.prod(spec.shape) * 2
    assert "the same command continues" in stopped


def test_f3_1_a_limit_on_the_size_of_files_is_named_with_the_size(many, spec, tmp_path):
    out = tmp_path / "store"
    limit, highest = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, highest))
    try:
        with pytest.raises(DiskFullError) as caught:
            extract_clips(many.clips, many.root, spec, out, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, highest))
    size = len(many.clips) * math.prod(spec.shape) * 2
    fault = "it would exceed the largest size of a file"
    assert str(caught.value) == f"{out / FEATURES} cannot be written: {fault}, it needs {size:,} bytes"
    assert len(extract_clips(many.clips[:2], many.root, spec, out, workers=1).clips) == 2, "nothing stands in the way"


def crash_in(passes: set[int], row: int, monkeypatch) -> list[int]:
    """Let the worker of one row die in some of the passes over the clips; return the numbers of the passes so far."""
    begun = []

    def map_here(pool, task, chunks, on_crash):
        begun.append(len(begun) + 1)
        for chunk in chunks:
            for job, result in zip(chunk, task(chunk), strict=True):
                yield on_crash(job) if job.row == row and begun[-1] in passes else result

    monkeypatch.setattr("asc_mrkd.store.extraction.map_in_order", map_here)
    return begun


def test_f2_2_a_crash_is_not_a_verdict_on_a_clip(recordings, spec, tmp_path, monkeypatch):
    arguments = (recordings.clips, recordings.root, spec)
    begun = crash_in(set(), 3, monkeypatch)
    extract_clips(*arguments, tmp_path / "whole")
    assert len(begun) == 1
    begun = crash_in({1}, 3, monkeypatch)
    extract_clips(*arguments, tmp_path / "once")
    assert len(begun) == 2
    assert not differing_files(tmp_path / "once", tmp_path / "whole")
    begun = crash_in({1, 2}, 3, monkeypatch)
    store = extract_clips(*arguments, tmp_path / "twice")
    assert (len(begun), store.clips["reason"].tolist().count("crashed")) == (2, 1)
    assert extract_clips(*arguments, tmp_path / "twice").clips["status"].tolist() == ["ok"] * 10
    assert not differing_files(tmp_path / "twice", tmp_path / "whole")


def test_f2_2_the_verb_says_that_crashed_clips_are_tried_again(recordings, tmp_path, monkeypatch):
    crash_in({1, 2}, 3, monkeypatch)
    name = recordings.clips["filename"][3]
    done = extract_by_verb(recordings.root, tmp_path / "store", "--max-bad", 0.5)
    assert done.code == 0
    assert f"left out {name}: crashed\nthe same command tries the crashed ones again\n" in done.err
    assert "crashed" not in extract_by_verb(recordings.root, tmp_path / "store").err


def test_t5_a_worker_that_sees_other_files_is_named(recordings, spec, tmp_path, monkeypatch):
    def map_elsewhere(pool, task, chunks, on_crash):
        for chunk in chunks:
            yield from (RowResult(job.row, "missing") for job in chunk)

    monkeypatch.setattr("asc_mrkd.store.extraction.map_in_order", map_elsewhere)
    with pytest.raises(StoreError, match="exists here, but not where a worker looked for it"):
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
