"""Signals that stop a training, processes that lose their launcher, and variables that no launcher has set."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.cli import command_line, run_cli
from helpers.engine import train_run

from asc_mrkd.device import choose_device
from asc_mrkd.engine.loop import parallel
from asc_mrkd.engine.loop.signals import stop_on_signal
from asc_mrkd.errors import ConfigError, InterruptedRun

SHORT = ("method=ce", "train.epochs=2", "train.evaluate_every=0")
"""Two epochs of four steps."""


@pytest.fixture
def hangup_is_heard():
    """Undo what nohup does to the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_f2_5_every_signal_to_stop_saves(conf, hangup_is_heard, tmp_path, number):
    with pytest.raises(InterruptedRun, match="holds the state") as caught:
        train_run(conf, tmp_path / "run", *SHORT, stop_after=2, stop_signal=number)
    assert caught.value.exit_code == 3
    assert (tmp_path / "run" / "seed0" / "checkpoint.pt").exists()


def test_a_signal_that_is_not_handled_by_python_is_left_alone(monkeypatch):
    installed = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: installed.append(number))
    with stop_on_signal() as should_stop:
        assert not should_stop()
    assert not installed


def test_a_hangup_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as should_stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not should_stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_f2_5_a_closed_terminal_saves(conf, tmp_path):
    command = command_line("train", conf, "train.epochs=10000", "--out", tmp_path / "run")
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may themselves be started with nohup
        os.execv(command[0], command)
    shown = b""
    while b"steps" not in shown or not (tmp_path / "run" / "seed0" / "checkpoint.pt").exists():
        shown += os.read(terminal, 4096)
    before = (tmp_path / "run" / "seed0" / "checkpoint.pt").stat().st_mtime_ns
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert (tmp_path / "run" / "seed0" / "checkpoint.pt").stat().st_mtime_ns > before


@pytest.mark.slow
def test_f2_5_processes_end_when_torchrun_is_killed(image_conf, tmp_path):
    out = tmp_path / "run"
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "asc_mrkd", "train"]
    options = ["train.epochs=100000", "train.evaluate_every=0", "train.checkpoint_every=50", "--out", str(out)]
    with open(tmp_path / "log", "w") as log:
        launcher = subprocess.Popen(
            [sys.executable, *command, str(image_conf), *options], stdout=log, stderr=log, start_new_session=True
        )
    checkpoint = out / "seed0" / "checkpoint.pt"
    while launcher.poll() is None and not checkpoint.exists():
        time.sleep(0.1)
    children = [int(one) for one in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
    assert len(children) == 2, (tmp_path / "log").read_text()
    launcher.kill()
    launcher.wait()
    end = time.monotonic() + 60
    while any(is_running(child) for child in children) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(is_running(child) for child in children)
    assert "holds the state" in (tmp_path / "log").read_text()


def is_running(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


LAUNCHED = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29599"}


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets variables of a launcher."""

    def set_up(**variables: str) -> None:
        for name in LAUNCHED:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_up


@pytest.mark.parametrize("missing", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_t5b_variables_that_no_launcher_has_set_are_named(conf, tmp_path, environment, missing):
    environment(**{name: value for name, value in LAUNCHED.items() if name != missing})
    done = run_cli("train", conf, *SHORT, "--out", tmp_path / "run")
    assert done.code == 2
    assert f"WORLD_SIZE=2 is set, but not {missing}" in done.err
    assert "unset WORLD_SIZE" in done.err
    assert not (tmp_path / "run").exists()


def test_t5b_a_stray_world_size_alone_is_named(conf, tmp_path, environment):
    environment(WORLD_SIZE="2")
    done = run_cli("train", conf, *SHORT, "--out", tmp_path / "run")
    assert (done.code, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT" in done.err) == (2, True)
    environment(**{**LAUNCHED, "WORLD_SIZE": "two"})
    assert "WORLD_SIZE=two is not a number" in run_cli("train", conf, *SHORT, "--out", tmp_path / "run").err
    environment(**{**LAUNCHED, "RANK": "2"})
    assert (
        "RANK=2 is not one of WORLD_SIZE=2 processes" in run_cli("train", conf, *SHORT, "--out", tmp_path / "run").err
    )


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl"), ("auto", "nccl")])
def test_t5a_the_backend_follows_the_device(environment, monkeypatch, device, backend):
    environment(**LAUNCHED)
    asked: list[str] = []

    def join(backend: str) -> None:
        asked.append(backend)
        raise RuntimeError("nobody else comes")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: None)
    monkeypatch.setattr(parallel.dist, "init_process_group", join)
    with (
        pytest.raises(ConfigError, match=r"do not find each other: .*nobody else comes"),
        parallel.process_group(device),
    ):
        pass
    assert asked == [backend]


def test_t5b_more_processes_than_gpus_are_a_sentence(environment, monkeypatch):
    environment(**{**LAUNCHED, "RANK": "1", "LOCAL_RANK": "1"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ConfigError, match="process 2 of this machine has no GPU: there are 1"),
        parallel.process_group("auto"),
    ):
        pass
    with pytest.raises(ConfigError, match=r"cannot share train\.device=cuda:1"), parallel.process_group("cuda:1"):
        pass


def test_t1_training_needs_no_number_of_free_pages_and_no_float64(conf, tmp_path, monkeypatch):
    """As on macOS, whose GPUs have no float64."""

    def no_such_name(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", no_such_name)
    train_run(conf, tmp_path / "run", *SHORT, "augment.mixup=0.3")
    with pytest.raises(ConfigError, match="device=mps"):
        choose_device("mps")


def test_t1_draws_for_apples_gpus_are_float32():
    from asc_mrkd.engine.data.keys import Epoch

    class Mps(torch.Tensor):
        """Stands for a tensor on such a GPU."""

    moved: list[torch.dtype] = []
    original = torch.Tensor.to

    def to(self, device, *rest, **options):
        if torch.device(device).type == "mps":
            moved.append(self.dtype)
            return self
        return original(self, device, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "to", to)
        key = Epoch(seed=0, number=0, count=6, device="mps").batches(3)[0]
        key.beta("mixup", 0.3)
        key.integers("roll", 0, 5)
    assert torch.float64 not in moved
    assert torch.float32 in moved
