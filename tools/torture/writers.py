"""Two writers: the second one is refused with the process id of the first, whose results stay what they are."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from helpers.store import STORE_FILES

from asc_mrkd.locks import LOCK
from torture.material import Material, extract_command, train_command
from torture.trials import Command, Tally, differing, fault_of_refusal, folder_results, fresh, run, seed_results


def write_twice(tally: Tally, material: Material) -> None:
    """Start a training, a sweep and an extraction twice, into the same folder."""
    out = material.folder / "twice"
    training = train_command(material.scenes, "mrkd", out)
    expected = seed_results(material.trained(material.scenes))
    _start_twice(tally, material, training, [f"seed0/{LOCK}"], lambda: differing(expected, seed_results(out)))

    swept = out / "method.temperature=2"
    sweep: list[object] = ["sweep", material.scenes, "method.temperature=2,3", "--out", out, "--seeds", 0]
    fresh(out)
    assert run(*sweep, log=material.folder / "twice.log")[0] == 0
    expected_sweep = seed_results(swept)
    _start_twice(
        tally, material, sweep, [LOCK, f"*/seed0/{LOCK}"], lambda: differing(expected_sweep, seed_results(swept))
    )

    expected_store = folder_results(material.extracted(), STORE_FILES)
    extraction = extract_command(material, out)
    _start_twice(
        tally, material, extraction, [LOCK], lambda: differing(expected_store, folder_results(out, STORE_FILES))
    )


def _start_twice(
    tally: Tally, material: Material, arguments: list[object], locks: list[str], compare: Callable[[], str]
) -> None:
    """Start a command, halt it while it holds its lock, start it again, and let the first one finish.

    Args:
        tally: counts the trial.
        material: where the folder `twice` is.
        arguments: command that writes into that folder.
        locks: patterns of the locks that are held all the time; for others, held for a moment, the second one waits.
        compare: function that says which results differ.
    """
    out = fresh(material.folder / "twice")
    first = Command(*arguments, log=material.folder / "first.log")
    _halt_when_locked(first, out, locks)
    code, printed = run(*arguments, log=material.folder / "second.log")
    fault = fault_of_refusal(code, printed, f"process {first.pid} ")
    with contextlib.suppress(ProcessLookupError):
        os.kill(first.pid, signal.SIGCONT)
    if first.wait():
        fault = f"the first one ends with {first.process.exitcode}: {first.printed[-300:]}"
    tally.judge(fault or compare(), f"{arguments[0]} twice")


def _halt_when_locked(command: Command, folder: Path, locks: list[str]) -> None:
    while command.process.is_alive():
        if list(folder.glob(locks[0])):
            os.kill(command.pid, signal.SIGSTOP)
            held = {path for pattern in locks for path in folder.glob(pattern)}
            if held == set(folder.rglob(LOCK)) and all(path.stat().st_size for path in held):
                return
            os.kill(command.pid, signal.SIGCONT)
        time.sleep(0.001)
