"""End-to-end extraction for `bench_features.py`: in processes of its own, watched from outside."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FIRST, ALL = 40, 440
"""Clips of an extraction that do not count, and all its clips."""

EXTRACT = """
import sys, time
from pathlib import Path
import pandas as pd
from asc_mrkd.features import load_spec
from asc_mrkd.store import extract
root, out, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
times = []
extract(pd.read_csv(root / "clips.csv"), root, load_spec("pmel256"), out, workers, lambda: times.append(time.time()))
print(times[0], times[int(sys.argv[4]) - 1], times[-1])
"""


@dataclass(frozen=True)
class Extraction:
    """Seconds until the first clip and from clip FIRST to the last, and the bytes of the largest worker."""

    start: float
    seconds: float
    worker_bytes: int


def run_extraction(root: Path, workers: int) -> Extraction:
    """Extract all clips in a process of its own."""
    with tempfile.TemporaryDirectory(dir=root) as out:
        begin, largest = time.time(), 0
        arguments = [sys.executable, "-c", EXTRACT, str(root), f"{out}/store", str(workers), str(FIRST)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                largest = max([largest, *descendants(process.pid)])
                time.sleep(0.2)
            words = process.stdout.read().split() if process.stdout else []
        if process.returncode:
            raise SystemExit("the extraction failed")
        first, begun, last = map(float, words)
        return Extraction(first - begin, last - begun, largest)


def descendants(pid: int) -> list[int]:
    """Return the largest resident set (bytes) that each process below `pid` has had, by /proc."""
    parents, peaks = {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        except OSError:  # it has ended
            continue
        child = int(path.parent.name)
        parents[child], peaks[child] = int(fields["PPid"]), int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return [peaks[child] for child in family - {pid}]


def link_clips(root: Path, paths: list[Path]) -> None:
    """Fill a folder with links to the clips, over and over, and write its table."""
    names = [f"{index}-{paths[index % len(paths)].name}" for index in range(ALL)]
    for index, name in enumerate(names):
        (root / name).symlink_to(paths[index % len(paths)].absolute())
    columns = {"filename": names, "label": "park", "identifier": "", "source_label": "", "split": "train"}
    pd.DataFrame(columns).to_csv(root / "clips.csv", index=False)


def extract_by_turns(paths: list[Path], rounds: int) -> list[tuple[Extraction, Extraction]]:
    """Return what extraction with two workers and with one took, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        link_clips(Path(folder), paths)
        return [(run_extraction(Path(folder), 2), run_extraction(Path(folder), 1)) for _ in range(rounds)]
