"""Full disks: the command says in one sentence what is missing, and continues when there is space again."""

import resource
import subprocess
from pathlib import Path

from torture.material import Material, train_command
from torture.trials import Command, Tally, differing, fault_of_refusal, fresh, run, seed_results

SIZES = (4, 12, 20, 40, 80, 120, 160, 240)
"""Sizes of the disks and limits of a file, in KiB; the checkpoint of the trained network needs about 200."""


def fill_disks(tally: Tally, material: Material) -> None:
    """Train on small disks, and under small limits of a file; then with enough space."""
    expected = seed_results(material.trained(material.scenes))
    may_mount = _may_mount(fresh(material.folder / "probe"))
    for size in tally.choose(list(SIZES)):
        if may_mount:
            _train_on_a_small_disk(tally, material, size, expected)
        _train_with_small_files(tally, material, size, expected)
    if not may_mount:
        print("disks: tmpfs cannot be mounted here, only the limit of a file was tried")


def _may_mount(folder: Path) -> bool:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True).returncode == 0
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)
    return mounted


def _train_on_a_small_disk(tally: Tally, material: Material, size: int, expected: dict) -> None:
    disk = fresh(material.folder / "disk")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)], check=True)
    try:
        log = material.folder / "disk.log"
        code, printed = run(*train_command(material.scenes, "mrkd", disk / "run"), log=log)
        fault = fault_of_refusal(code, printed, "bytes") if code else ""
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        tally.judge(fault or _continue(material, disk / "run", expected), f"a disk of {size} KiB")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _train_with_small_files(tally: Tally, material: Material, size: int, expected: dict) -> None:
    out = fresh(material.folder / "small-files")
    limit = size * 1024
    command = Command(
        *train_command(material.scenes, "mrkd", out),
        log=material.folder / "small-files.log",
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    code = command.wait()
    fault = fault_of_refusal(code, command.printed) if code else ""
    tally.judge(fault or _continue(material, out, expected), f"files of {size} KiB at most")


def _continue(material: Material, out: Path, expected: dict) -> str:
    code, printed = run(*train_command(material.scenes, "mrkd", out), log=material.folder / "disk.log")
    return printed[-300:] if code else differing(expected, seed_results(out))
