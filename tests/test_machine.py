"""The cores and the memory of a machine and of a container in it, as the files of the system tell them."""

import os
from pathlib import Path

import pytest

from asc_mrkd.machine import UNKNOWN_MEMORY, available_cores, free_memory

MEMINFO = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"


def write_group(folder: Path, names: tuple[str, str], limit: object, used: int, cache: int) -> None:
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")


@pytest.mark.parametrize(
    ("membership", "mounted", "names"),
    [
        ("0::/pod/job\n", "sys/fs/cgroup", ("memory.max", "memory.current")),
        (
            "4:cpu,memory:/pod/job\n0::/\n",
            "sys/fs/cgroup/memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ),
    ],
)
def test_t1_the_limit_of_a_container_counts(tmp_path, membership, mounted, names):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/self/cgroup").write_text(membership)
    assert free_memory(tmp_path) == 8_000_000 * 1024
    write_group(tmp_path / mounted / "pod", names, limit=3_000_000, used=2_500_000, cache=500_000)
    assert free_memory(tmp_path) == 1_000_000
    write_group(tmp_path / mounted / "pod/job", names, limit="max", used=2_500_000, cache=0)
    assert free_memory(tmp_path) == 1_000_000
    (tmp_path / mounted / "pod" / names[1]).write_text("9000000")
    assert free_memory(tmp_path) == 0


@pytest.mark.parametrize(
    ("membership", "mounted", "limited", "free"),
    [
        ("0::/pod/job\n", "sys/fs/cgroup", {"cpu.max": "50000 100000"}, {"cpu.max": "max 100000"}),
        (
            "4:cpu,cpuacct:/pod/job\n0::/\n",
            "sys/fs/cgroup/cpu",
            {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"},
            {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"},
        ),
    ],
)
def test_t1_the_cores_of_a_container_count(tmp_path, monkeypatch, membership, mounted, limited, free):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    assert available_cores(tmp_path) == 64
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(membership)
    group = tmp_path / mounted / "pod/job"
    group.mkdir(parents=True)
    for name, text in free.items():
        (group / name).write_text(f"{text}\n")
    assert available_cores(tmp_path) == 64
    for name, text in limited.items():
        (group.parent / name).write_text(text.replace("50000", "350000"))
    assert available_cores(tmp_path) == 4
    for name, text in limited.items():
        (group / name).write_text(text)
    assert available_cores(tmp_path) == 1


def test_t1_systems_that_report_no_free_memory(tmp_path, monkeypatch):
    assert free_memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # macOS
    monkeypatch.delattr("os.sysconf")  # Windows
    assert free_memory(tmp_path) == UNKNOWN_MEMORY
