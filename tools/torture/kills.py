"""Kills: of a training, of workers, of ranks, and before every call that writes. The end has the same bytes."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from helpers.store import STORE_FILES

from torture.material import METHODS, Material, extract_command, train_command
from torture.trials import Command, Tally, differing, folder_results, fresh, run, seed_results

WRITING_CALLS = ("replace", "rename", "link", "unlink", "remove", "fsync", "truncate", "ftruncate", "mkdir", "pwrite")
"""Functions of `os` by which a state becomes visible or durable."""

SHOWN = -300
"""Start of what is shown of a long text: its last characters."""


def kill_training(tally: Tally, material: Material) -> None:
    """Kill trainings at random moments, and continue them until they are finished."""
    rng = random.Random(0)
    kinds = [(conf, method) for method in METHODS for conf in (material.scenes, material.images)]
    for trial, (conf, method) in enumerate(tally.choose(kinds * 2 + kinds[:1])):
        expected = seed_results(material.trained(conf, method))
        out = material.folder / "killed"
        log = material.folder / "killed.log"
        _start_and_kill(train_command(conf, method, out), out, log, rng)
        code, printed = run(*train_command(conf, method, out), log=log)
        fault = printed[SHOWN:] if code else differing(expected, seed_results(out)) or leftovers(out)
        tally.judge(fault, f"{conf.stem}, {method}, kill {trial}")


def _start_and_kill(arguments: list[object], out: Path, log: Path, rng: random.Random) -> None:
    """Start a command and kill it at a random moment; start it again, for a shorter time, if it has ended before."""
    seconds = 2.0
    while True:
        fresh(out)
        command = Command(*arguments, log=log)
        command.process.join(rng.uniform(0, seconds))
        if command.process.is_alive():
            command.process.kill()
            command.wait()
            return
        seconds /= 2


def leftovers(folder: Path) -> str:
    """Name the temporary files that are left in a folder."""
    names = [path.name for path in folder.rglob("*.tmp")]
    return f"left behind: {', '.join(names)}" if names else ""


def kill_before_every_write(tally: Tally, material: Material) -> None:
    """Kill a training and an extraction before their first, second, ... writing call, and repeat the command."""
    whole = material.folder / "brief"
    code, printed = run(*_brief_training(material, whole), log=material.folder / "brief.log")
    assert code == 0, printed
    expected = seed_results(whole)
    training = _brief_training(material, material.folder / "cut")
    _kill_before_each(tally, material, training, lambda: differing(expected, seed_results(material.folder / "cut")))
    expected_store = folder_results(material.extracted(), STORE_FILES)
    extraction = extract_command(material, material.folder / "cut")
    _kill_before_each(
        tally,
        material,
        extraction,
        lambda: differing(expected_store, folder_results(material.folder / "cut", STORE_FILES)),
    )


def _brief_training(material: Material, out: Path) -> list[object]:
    """Return the arguments of a training that stores a backup in its second and last epoch."""
    return [*train_command(material.scenes, "mrkd", out), "train.epochs=2"]


def _kill_before_each(tally: Tally, material: Material, arguments: list[object], compare: Callable[[], str]) -> None:
    """Repeat a command that writes into the folder `cut`, killed before a later writing call each time.

    Where few calls are tried, the first one comes when there is something to lose.
    """
    step = max(1, round(1 / tally.share))
    number = min(step, 20)
    while True:
        out = fresh(material.folder / "cut")
        log = material.folder / "cut.log"
        code = Command(*arguments, log=log, before=lambda number=number: _kill_before_call(number)).wait()
        if code >= 0:  # it has fewer writing calls, and was not killed
            if code > 0:
                tally.judge(f"exit code {code}", f"{arguments[0]}, undisturbed")
            return
        again, printed = run(*arguments, log=log)
        fault = printed[SHOWN:] if again else compare() or leftovers(out)
        tally.judge(fault, f"{arguments[0]}, kill before writing call {number}")
        number += step


def _kill_before_call(number: int) -> None:
    """Make this process kill itself before its writing call with that number."""
    owner = os.getpid()
    calls = 0

    def counted(function: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            if os.getpid() == owner:
                calls += 1
                if calls == number:
                    os.kill(owner, signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in WRITING_CALLS:
        setattr(os, name, counted(getattr(os, name)))


def kill_workers(tally: Tally, material: Material) -> None:
    """Kill a worker of one extraction after another; every clip is in the store."""
    expected = folder_results(material.extracted(), STORE_FILES)
    rng = random.Random(0)
    out = material.folder / "crowded"
    log = material.folder / "crowded.log"
    for trial in range(tally.count(8)):
        command = Command(*extract_command(material, fresh(out)), log=log)
        killed = _kill_one_worker(command, rng)
        code = command.wait()
        if not killed:
            fault = "the extraction ended before a worker could be killed"
        elif code:
            fault = command.printed[SHOWN:]
        else:
            fault = differing(expected, folder_results(out, STORE_FILES))
        tally.judge(fault, f"worker kill {trial}")


def _kill_one_worker(command: Command, rng: random.Random) -> bool:
    """Kill a working process of an extraction, soon after it appeared; return whether one could be killed."""
    while command.process.is_alive():
        with contextlib.suppress(psutil.Error):
            workers = _workers(psutil.Process(command.pid))
            if workers:
                time.sleep(rng.uniform(0, 0.3))
                rng.choice(workers).kill()
                return True
        time.sleep(0.01)
    return False


def _workers(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that the fork server of a process has started."""
    servers = [child for child in process.children() if "forkserver" in " ".join(child.cmdline())]
    return [worker for server in servers for worker in server.children()]


def kill_ranks(tally: Tally, material: Material) -> None:
    """Kill one of two training processes, then start both again; the network is that of an undisturbed training."""
    whole = fresh(material.folder / "ranks-whole")
    assert _launch(material, whole).wait() == 0
    expected = seed_results(whole)
    rng = random.Random(0)
    for trial in range(tally.count(2)):
        out = fresh(material.folder / "ranks")
        launcher = _launch(material, out)
        killed = _kill_one_rank(launcher, out / "metrics.jsonl", trial, rng)
        launcher.wait()
        if not killed:
            fault = "the training ended before a rank could be killed"
        else:
            code = _launch(material, out).wait()
            fault = f"exit code {code}" if code else differing(expected, seed_results(out))
        tally.judge(fault, f"rank kill {trial}")


def _kill_one_rank(launcher: subprocess.Popen, log: Path, epochs: int, rng: random.Random) -> bool:
    """Kill one of the training processes once the log has more lines than `epochs`; return whether one was killed."""
    while launcher.poll() is None:
        if log.exists() and log.read_text().count("\n") > epochs:
            with contextlib.suppress(psutil.Error):
                ranks = psutil.Process(launcher.pid).children()
                if ranks:
                    rng.choice(ranks).kill()
                    return True
        time.sleep(0.01)
    return False


def _launch(material: Material, out: Path) -> subprocess.Popen:
    """Start a training of two processes by torchrun."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    arguments = [str(word) for word in [*train_command(material.images, "mrkd", out), "train.epochs=30"]]
    with open(material.folder / "ranks.log", "a") as log:
        return subprocess.Popen([*launcher, "-m", "asc_mrkd", *arguments], stdout=log, stderr=log)
