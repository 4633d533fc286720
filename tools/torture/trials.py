"""Parts of every attack: the tally of its trials, commands in forked processes, and the comparison of results."""

import io
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from asc_mrkd.cli import main
from asc_mrkd.errors import AscMrkdError

fork = multiprocessing.get_context("fork")
"""Forked processes share the imported libraries, so that a trial takes a second instead of five."""

RESULTS = ("model.safetensors", "predictions.csv")
"""Files of a seed that depend on its experiment and its data alone."""

CLOCKS = ("seconds", "samples_per_second")
"""Keys of the log that depend on the machine."""


@dataclass
class Tally:
    """The trials of one attack."""

    name: str
    """Name of the attack."""
    share: float = 1.0
    """Share of the trials that are made."""
    tried: int = 0
    """Number of trials."""
    wrong: list[str] = field(default_factory=list)
    """Description of every trial that did not end as it must."""

    def count(self, full: int) -> int:
        """Return the number of trials of an attack that has `full` of them; at least one."""
        return max(1, round(full * self.share))

    def choose(self, trials: list) -> list:
        """Return the chosen share of a list of trials: the middle one of each of its equal parts."""
        number = self.count(len(trials))
        return [trials[(2 * i + 1) * len(trials) // (2 * number)] for i in range(number)]

    def judge(self, fault: str, trial: str) -> None:
        """Count a trial; `fault` says what came out wrong, or is empty."""
        self.tried += 1
        if fault:
            self.wrong.append(f"{trial}: {fault}")


class Command:
    """`asc-mrkd` in a forked process, with what it prints in a file."""

    def __init__(self, *arguments: object, log: Path, before: Callable[[], None] = lambda: None) -> None:
        self.log = log
        self.process: BaseProcess = fork.Process(target=_run, args=([str(word) for word in arguments], log, before))
        self.process.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def wait(self) -> int:
        """Wait for the end and return the exit code; a signal counts negative."""
        self.process.join()
        assert self.process.exitcode is not None
        return self.process.exitcode

    @property
    def printed(self) -> str:
        """Everything that was printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _run(arguments: list[str], log: Path, before: Callable[[], None]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), write_through=True)
    sys.argv = ["asc-mrkd", *arguments]
    before()
    main()


def run(*arguments: object, log: Path) -> tuple[int, str]:
    """Run `asc-mrkd` and return its exit code and what it printed."""
    command = Command(*arguments, log=log)
    return command.wait(), command.printed


def fault_of_refusal(code: int, printed: str, *words: str) -> str:
    """Return what is wrong with a refusal: it must end with 1, 2 or 3, an error that has these words, and a hint."""
    if "Traceback" in printed:
        return "a traceback"
    if code not in (1, 2, 3):
        return f"exit code {code} instead of a refusal"
    missing = [word for word in ("error: ", "hint: ", *words) if word not in printed]
    return f"the message lacks {missing}: {printed.strip()[-300:]}" if missing else ""


def refuses(function: Callable[[], object]) -> bool:
    """Return whether a function raises an error of the toolkit; any other error goes on."""
    try:
        function()
    except AscMrkdError:
        return True
    return False


def seed_results(run_folder: Path, seed: int = 0) -> dict[str, bytes | None]:
    """Return the results of a seed: its files, and its lines of the log without times."""
    results = folder_results(run_folder / f"seed{seed}", RESULTS)
    return results | {"metrics.jsonl": _log_of_seed(run_folder / "metrics.jsonl", seed)}


def _log_of_seed(path: Path, seed: int) -> bytes | None:
    content = _content(path)
    try:
        records = [json.loads(line) for line in (content or b"").splitlines()]
        kept = [{key: record[key] for key in record if key not in CLOCKS} for record in records]
        return json.dumps([record for record in kept if record["seed"] == seed]).encode()
    except (ValueError, TypeError, KeyError):
        return content


def folder_results(folder: Path, names: tuple[str, ...]) -> dict[str, bytes | None]:
    """Return the content of some files of a folder."""
    return {name: _content(folder / name) for name in names}


def differing(expected: dict[str, bytes | None], found: dict[str, bytes | None]) -> str:
    """Name the results that differ; empty if none does."""
    names = [name for name, content in expected.items() if found.get(name) != content]
    return f"{', '.join(names)} differ" if names else ""


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def fresh(folder: Path) -> Path:
    """Remove a folder of an earlier trial and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
