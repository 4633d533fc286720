"""The cores and the memory that this process may use: those of the machine, or of its container if that has less."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CPU_FILES = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
"""Files of a control group with a time of the processor (us) and the period in which it may be used: version 2, 1."""

MEMORY_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files of a control group with the limit and the use of memory (bytes): version 2, 1."""

UNKNOWN_MEMORY = 2**30
"""Free memory (bytes) that is assumed where the system reports no memory at all (Windows)."""


def available_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use: those of the machine, or of its container if that is less.

    Args:
        root: folder that holds proc/ and sys/.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(share) for share in _allowed_cores(root))]))


def _allowed_cores(root: Path) -> Iterator[float]:
    """Yield the cores that control groups allow, as a share of their time."""
    for folder in _control_groups(root, "cpu"):
        for names in CPU_FILES:
            with suppress(OSError, ValueError):
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                if quota not in ("max", "-1"):
                    yield int(quota) / int(period)


def free_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may still take: of the machine, or of its container if that is less.

    Args:
        root: folder that holds proc/ and sys/.
    """
    try:
        meminfo = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        available = int(meminfo["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return _half_of_the_memory()
    return max(0, min([available, *_memory_left_by_groups(root)]))


def _half_of_the_memory() -> int:
    """Return half of the memory of this machine, for systems that do not report how much is free."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return UNKNOWN_MEMORY


def _memory_left_by_groups(root: Path) -> Iterator[int]:
    """Yield the bytes that control groups leave free; the idle cache of files counts as free."""
    for folder in _control_groups(root, "memory"):
        for limit_name, usage_name in MEMORY_FILES:
            with suppress(OSError, ValueError):
                limit = (folder / limit_name).read_text().strip()
                used = int((folder / usage_name).read_text())
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                if limit != "max":
                    yield int(limit) - used + int(statistics.get("inactive_file", 0))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, of version 2 and of a controller of version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounted = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mounted / path.lstrip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == mounted:
                break
