"""End-to-end extraction for `bench_features.py`, in separate processes whose memory is measured from outside."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FIRST = 40
"""First clips of an extraction, which do not count."""
ALL = 440
"""All clips of an extraction."""

EXTRACT = """
import sys, time
from contextlib import contextmanager
import pandas as pd
from asc_mrkd.features import load_spec
from asc_mrkd.store import extract_clips

@contextmanager
def record_times(title, total, unit, done=0):
    yield lambda amount=1: times.append(time.time())

times = []
root, out, workers, first = sys.argv[1:]
clips = pd.read_csv(f"{root}/clips.csv")
extract_clips(clips, root, load_spec("pmel256"), out, workers=int(workers), progress=record_times)
print(times[0], times[int(first) - 1], times[-1])
"""


@dataclass(frozen=True)
class Extraction:
    """Measured time and memory of one extraction."""

    start: float
    """Time until the first clip (s)."""
    seconds: float
    """Time from clip FIRST to the last (s)."""
    worker_bytes: int
    """Memory of the largest worker (bytes)."""


def run_extraction(root: Path, workers: int) -> Extraction:
    """Extract all clips in a separate process."""
    with tempfile.TemporaryDirectory(dir=root) as out:
        begin = time.time()
        largest = 0
        arguments = [sys.executable, "-c", EXTRACT, str(root), f"{out}/store", str(workers), str(FIRST)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                largest = max([largest, *peak_memory(process.pid)])
                time.sleep(0.2)
            words = process.stdout.read().split() if process.stdout else []
        if process.returncode:
            raise SystemExit("the extraction failed")
        first, begun, last = map(float, words)
        return Extraction(first - begin, last - begun, largest)


def peak_memory(pid: int) -> list[int]:
    """Return the peak resident set (bytes) of each process started by `pid`, from /proc."""
    parents = {}
    peaks = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        except OSError:  # the process has ended
            continue
        child = int(path.parent.name)
        parents[child] = int(fields["PPid"])
        peaks[child] = int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return [peaks[child] for child in family - {pid}]


def link_clips(root: Path, paths: list[Path]) -> None:
    """Fill a folder with ALL links to the clips, each linked several times, and write the table of the links."""
    names = [f"{index}-{paths[index % len(paths)].name}" for index in range(ALL)]
    for index, name in enumerate(names):
        (root / name).symlink_to(paths[index % len(paths)].absolute())
    columns = {"filename": names, "label": "park", "identifier": "", "source_label": "", "split": "train"}
    pd.DataFrame(columns).to_csv(root / "clips.csv", index=False)


def extract_by_turns(paths: list[Path], rounds: int) -> list[tuple[Extraction, Extraction]]:
    """Measure extraction with two workers and with one, alternating, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        link_clips(Path(folder), paths)
        return [(run_extraction(Path(folder), 2), run_extraction(Path(folder), 1)) for _ in range(rounds)]
