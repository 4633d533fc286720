"""Checkpoints: two of each seed, whole or refused, and those of another training refused by name."""

import errno
import os
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.engine import train_run

from asc_mrkd.engine.loop import checkpoint as checkpoint_module
from asc_mrkd.engine.loop.checkpoint import Checkpoints, load_checkpoint
from asc_mrkd.errors import DamagedFileError, DiskFullError, InterruptedRun, RunError
from asc_mrkd.runs import SeedFolder

OWNER = {"seed": 3, "processes": 1, "train.epochs": 6}
SHORT = ("method=ce", "train.epochs=3", "train.evaluate_every=0")
"""Three epochs of four steps."""


@pytest.fixture
def files(tmp_path) -> SeedFolder:
    folder = SeedFolder(tmp_path / "seed3")
    folder.path.mkdir()
    return folder


def restored(files: SeedFolder, owner: dict = OWNER) -> list[dict]:
    states: list[dict] = []
    Checkpoints(files, owner).restore(states.append)
    return states


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_the_last_of_two_is_restored(files):
    assert restored(files) == []
    for step in range(3):
        Checkpoints(files, OWNER).save({"step": step})
    assert restored(files) == [{"step": 2}]
    assert load_checkpoint(files.previous_checkpoint)["state"] == {"step": 1}
    assert {path.name for path in files.path.iterdir()} == {"checkpoint.pt", "checkpoint.previous.pt"}


def test_f2_1_the_one_before_a_damaged_last_is_used_with_a_warning(files):
    checkpoints = Checkpoints(files, OWNER)
    checkpoints.save({"step": 0})
    checkpoints.save({"step": 1})
    damage(files.checkpoint)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged: .*checkpoint\.previous\.pt, .*is used"):
        assert restored(files) == [{"step": 0}]


def test_a_damaged_last_never_replaces_a_whole_one(files):
    checkpoints = Checkpoints(files, OWNER)
    checkpoints.save({"step": 0})
    checkpoints.save({"step": 1})
    damage(files.checkpoint)
    with pytest.warns(UserWarning, match="is used"):
        checkpoints.restore(lambda state: None)
    checkpoints.save({"step": 2})
    assert [load_checkpoint(path)["state"]["step"] for path in (files.checkpoint, files.previous_checkpoint)] == [2, 0]


def test_a_kill_between_the_two_renames_loses_one_state_only(files):
    checkpoints = Checkpoints(files, OWNER)
    checkpoints.save({"step": 0})
    files.checkpoint.rename(files.previous_checkpoint)
    assert restored(files) == [{"step": 0}]


def test_f2_6_what_a_killed_writer_has_left_is_removed(files):
    for name in (".checkpoint.new.pt.0.tmp", ".checkpoint.new.pt.1.tmp", "checkpoint.new.pt"):
        (files.path / name).write_bytes(b"a part")
    Checkpoints(files, OWNER).save({"step": 0})
    assert [path.name for path in files.path.iterdir()] == ["checkpoint.pt"]


def test_no_whole_checkpoint_is_an_error_that_names_both(files):
    checkpoints = Checkpoints(files, OWNER)
    checkpoints.save({"step": 0})
    checkpoints.save({"step": 1})
    for path in (files.checkpoint, files.previous_checkpoint):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is used"), pytest.raises(DamagedFileError, match="is damaged") as caught:
        restored(files)
    command = shlex.join(["rm", str(files.checkpoint), str(files.previous_checkpoint)])
    assert caught.value.hint == f"remove it to start this seed again: {command}"


def test_no_damage_is_loaded(files):
    state = {"weights": torch.arange(200.0), "records": [{"epoch": 1}]}
    Checkpoints(files, OWNER).save(state)
    whole = files.checkpoint.read_bytes()
    damaged = [whole[:length] for length in (0, 10, len(whole) // 2, len(whole) - 1)]
    for position in np.random.default_rng(0).integers(0, len(whole), 150):
        content = bytearray(whole)
        content[position] ^= 0x10
        damaged.append(bytes(content))
    for content in damaged:
        files.checkpoint.write_bytes(content)
        try:
            (found,) = restored(files)
        except (DamagedFileError, RunError):
            continue
        assert torch.equal(found["weights"], state["weights"])  # a bit between the parts of the archive is harmless
        assert found["records"] == state["records"]


@pytest.mark.parametrize("content", [5, [], {}, {"state": {}}, {"owner": OWNER, "state": 5}, {"owner": 1, "state": {}}])
def test_odd_content_with_a_right_checksum_is_damage(files, content):
    if isinstance(content, dict):
        content = {**content, "sha256": checkpoint_module.digest(content)}
    torch.save(content, files.checkpoint)
    with pytest.raises(DamagedFileError, match="is damaged"):
        restored(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"trainer": {}},
        {"trainer": {"epoch": 99, "batch": 0}},
        {"trainer": {"epoch": 1, "batch": 4}},
        {"records": [5]},
        {"threads": 100_000},
    ],
)
def test_f1_3_a_state_that_the_training_cannot_take_is_damage(conf, tmp_path, stopped, state):
    out = shutil.copytree(stopped.parents[1], tmp_path / "run")
    owner = load_checkpoint(out / "seed0/checkpoint.pt")["owner"]
    if state not in ({}, {"trainer": {}}):
        whole = load_checkpoint(out / "seed0/checkpoint.pt")["state"]
        state = {**whole, **state, "trainer": {**whole["trainer"], **state.get("trainer", {})}}
    Checkpoints(SeedFolder(out / "seed0"), owner).save(state)
    (out / "seed0/checkpoint.previous.pt").unlink()
    with pytest.raises(DamagedFileError, match=r"checkpoint\.pt is damaged"):
        train_run(conf, out, *SHORT)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, store) -> Path:
    """A checkpoint of seed 0 after two steps."""
    from helpers.data import write_experiment

    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(InterruptedRun):
        train_run(write_experiment(folder / "conf.yaml", store), folder / "run", *SHORT, stop_after=2)
    return folder / "run" / "seed0" / "checkpoint.pt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "seed", "named"),
    [
        ((), 9, "seed is 0 in it and 9 here"),
        (("train.optimizer.lr=0.01",), 0, r"train\.optimizer\.lr is 0\.05 in it and 0\.01 here"),
        (("train.epochs=2",), 0, r"train\.epochs is 3 in it and 2 here"),
        (("method=mrkd",), 0, r"method\.name is 'ce' in it and 'mrkd' here"),
        (("model.options.width=6",), 0, r"model\.options\.width is 4 in it and 6 here"),
    ],
)
def test_f1_3_a_checkpoint_of_another_training_is_refused_by_name(conf, tmp_path, stopped, overrides, seed, named):
    folder = tmp_path / "run" / f"seed{seed}"
    folder.mkdir(parents=True)
    shutil.copy(stopped, folder)
    with pytest.raises(RunError, match=f"is of another training: {named}"):
        train_run(conf, tmp_path / "run", *SHORT, *overrides, seeds=(seed,))
    assert (folder / "checkpoint.pt").read_bytes() == stopped.read_bytes()


def test_f1_4_another_number_of_processes_is_refused_by_name(conf, tmp_path, stopped, monkeypatch):
    folder = tmp_path / "run" / "seed0"
    folder.mkdir(parents=True)
    shutil.copy(stopped, folder)
    monkeypatch.setattr(checkpoint_module, "world_size", lambda: 2)
    with pytest.raises(RunError, match="processes is 1 in it and 2 here"):
        train_run(conf, tmp_path / "run", *SHORT)


def test_f1_4_threads_of_the_first_start_are_used_again(conf, tmp_path, stopped):
    folder = tmp_path / "run" / "seed0"
    folder.mkdir(parents=True)
    shutil.copy(stopped, folder)
    before = torch.get_num_threads()
    other = before + 1
    torch.set_num_threads(other)
    try:
        train_run(conf, tmp_path / "run", *SHORT)
        assert torch.get_num_threads() == other
    finally:
        torch.set_num_threads(before)
    assert load_checkpoint(folder / "checkpoint.pt")["state"]["threads"] == before


def test_f3_1_a_full_disk_leaves_both_checkpoints_and_says_so_in_a_sentence(files, monkeypatch):
    checkpoints = Checkpoints(files, OWNER)
    checkpoints.save({"step": 0})
    checkpoints.save({"step": 1})
    before = {path.name: path.read_bytes() for path in files.path.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=r"checkpoint\.new\.pt cannot be written: the disk is full"):
        checkpoints.save({"weights": torch.zeros(10_000)})
    assert {path.name: path.read_bytes() for path in files.path.iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="sizes of files are limited on Unix")
@pytest.mark.parametrize("size", [0, 100, 4096, 30_000])
def test_f3_1_a_limit_on_the_size_of_files_is_a_sentence_with_the_missing_bytes(files, size):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(DiskFullError, match=r"largest size of a file, [\d,]+ bytes are missing"):
            Checkpoints(files, OWNER).save({"weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(files.path.iterdir())


@pytest.mark.slow
def test_f2_1_training_goes_on_from_the_one_before_to_the_same_bits(conf, tmp_path, store):
    whole = train_run(conf, tmp_path / "whole", *SHORT)
    cut = tmp_path / "cut"
    with pytest.raises(InterruptedRun):
        train_run(conf, cut, *SHORT, stop_after=9)
    damage(cut / "seed0" / "checkpoint.pt")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_run(conf, cut, *SHORT)
    assert any("checkpoint.pt is damaged" in str(one.message) for one in caught)
    for name in ("model.safetensors", "predictions.csv"):
        assert (cut / "seed0" / name).read_bytes() == (whole / "seed0" / name).read_bytes()
