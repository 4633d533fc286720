"""Two writers: the second one is refused with the process id of the first, whose results stay what they are."""

import time
from collections.abc import Callable
from pathlib import Path

from helpers.store import STORE_FILES

from torture.material import Material, extract_command, train_command
from torture.trials import Command, Tally, differing, fault_of_refusal, folder_results, fresh, run, seed_results


def write_twice(tally: Tally, material: Material) -> None:
    """Start a training, a sweep and an extraction twice, into the same folder."""
    out = material.folder / "twice"
    training = train_command(material.scenes, "mrkd", out)
    expected = seed_results(material.trained(material.scenes))
    _start_twice(tally, material, training, lambda: differing(expected, seed_results(out)))

    swept = out / "method.temperature=2"
    sweep: list[object] = ["sweep", material.scenes, "method.temperature=2,3", "--out", out, "--seeds", 0]
    fresh(out)
    assert run(*sweep, log=material.folder / "twice.log")[0] == 0
    expected_sweep = seed_results(swept)
    _start_twice(tally, material, sweep, lambda: differing(expected_sweep, seed_results(swept)))

    expected_store = folder_results(material.extracted(), STORE_FILES)
    extraction = extract_command(material, out)
    _start_twice(tally, material, extraction, lambda: differing(expected_store, folder_results(out, STORE_FILES)))


def _start_twice(tally: Tally, material: Material, arguments: list[object], compare: Callable[[], str]) -> None:
    """Start a command, and again as soon as its folder exists."""
    out = fresh(material.folder / "twice")
    first = Command(*arguments, log=material.folder / "first.log")
    while not _holds_files(out) and first.process.is_alive():
        time.sleep(0.005)
    second = Command(*arguments, log=material.folder / "second.log")
    second_code = second.wait()
    first_code = first.wait()
    fault = fault_of_refusal(second_code, second.printed, str(first.process.pid))
    if first_code:
        fault = f"the first one ends with {first_code}: {first.printed[-300:]}"
    tally.judge(fault or compare(), f"{arguments[0]} twice")


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
