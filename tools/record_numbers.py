"""Record the numbers that the package computes, or compare them with an earlier record.

    python tools/record_numbers.py write tools/numbers.json   # record them
    python tools/record_numbers.py check tools/numbers.json   # exit code 1 when a number differs

A change of the package's inside must leave every number as it is: stores, weights, predictions, metrics, budgets,
compressed networks, submissions and reports. `compute_numbers.py` computes small ones of each kind; this script keeps
their SHA-256 sums. The package is the one that `import asc_mrkd` finds. A run takes about 4 minutes on 2 cores.

New keys in JSON, new columns of clips.csv and new names of numbers are no difference; a lost one is. Names that end in
/numbers leave out all texts: they stay the same when only words change. Compiled loops round differently on other
processors, so a record holds for one kind of machine. With `--work DIR` the files stay, and DIR/values.json holds
everything that was hashed: the values of two folders show where a difference is.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from compute_numbers import Place, Values, compute, sha256

ABOUT = "SHA-256 sums of the package's numbers; compare them on the same kind of machine: tools/record_numbers.py check"
LIBRARIES = ("torch", "numpy", "scipy", "numba", "soxr", "librosa", "pandas", "onnx", "onnxruntime")

LEFT_OUT = ("run", "file", "seconds", "samples_per_second")
"""Keys of JSON that hold paths and times."""


def dictionary_keys(value: Any) -> set[str]:
    """Return the keys of all dictionaries within a value.

    >>> sorted(dictionary_keys([{"a": {"b": 1}}]))
    ['a', 'b']
    """
    if isinstance(value, Mapping):
        return set(value).union(*map(dictionary_keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(dictionary_keys, value))
    return set()


def with_known_keys(value: Any, keys: set[str]) -> Any:
    """Return a value without the keys of its dictionaries that are not among `keys`.

    >>> with_known_keys([{"a": {"b": 1, "c": 2}}], {"a", "c"})
    [{'a': {'c': 2}}]
    """
    if isinstance(value, Mapping):
        return {key: with_known_keys(item, keys) for key, item in value.items() if key in keys}
    if isinstance(value, list):
        return [with_known_keys(item, keys) for item in value]
    return value


def sha256_of_values(values: Values, keys: set[str]) -> dict[str, str]:
    """Return the sum of every value, as JSON with sorted keys, of which only `keys` count."""
    texts = {name: json.dumps(with_known_keys(value, keys), sort_keys=True) for name, value in sorted(values.items())}
    return {name: sha256(text.encode()) for name, text in texts.items()}


def describe_machine() -> dict[str, str]:
    """Return the processor and the versions, on which the last bits of a number depend."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def describe_commit(root: Path) -> str:
    """Return the commit of a source tree, with -dirty when files differ from it."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def write_record(path: Path, place: Place) -> bool:
    """Write the record of the package; return whether it is complete."""
    values, errors = compute(place)
    keys = dictionary_keys(list(values.values())).difference(LEFT_OUT)
    record = {
        "about": ABOUT,
        "commit": describe_commit(place.root),
        "machine": describe_machine(),
        "keys": sorted(keys),
        "sums": sha256_of_values(values, keys),
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{path}: {len(values)} numbers of commit {record['commit']}")
    for error in errors:
        print(error, file=sys.stderr)
    return not errors


def check_record(path: Path, place: Place) -> bool:
    """Compare the package with a record; return whether all numbers are the same."""
    record = json.loads(path.read_text())
    values, errors = compute(place)
    verdicts = compare_sums(record["sums"], sha256_of_values(values, set(record["keys"])))
    for name, verdict in verdicts.items():
        print(f"{verdict:8} {name}")
    for error in errors:
        print(error, file=sys.stderr)
    for line in machine_differences(record["machine"], describe_machine()):
        print(line)
    different = [name for name, verdict in verdicts.items() if verdict in ("DIFFERS", "MISSING")]
    print(f"{len(record['sums'])} numbers of commit {record['commit']}: {len(different) or 'none'} different")
    return not different


def compare_sums(recorded: dict[str, str], found: dict[str, str]) -> dict[str, str]:
    """Return a verdict for every name: same, DIFFERS, MISSING or new.

    >>> compare_sums({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "0", "d": "4"})
    {'a': 'same', 'b': 'DIFFERS', 'c': 'MISSING', 'd': 'new'}
    """
    verdicts = {}
    for name in sorted({*recorded, *found}):
        if name not in recorded:
            verdicts[name] = "new"
        elif name not in found:
            verdicts[name] = "MISSING"
        else:
            verdicts[name] = "same" if recorded[name] == found[name] else "DIFFERS"
    return verdicts


def machine_differences(recorded: dict[str, str], here: dict[str, str]) -> list[str]:
    """Return a line for every difference between the recorded machine and this one, and a warning."""
    lines = [
        f"{name}: {recorded.get(name)} in the record, {here.get(name)} here"
        for name in sorted({*recorded, *here})
        if recorded.get(name) != here.get(name)
    ]
    if lines:
        lines.append("This is another machine or another library: last bits may differ for this reason.")
    return lines


def find_package() -> Path:
    """Return the folder that holds the package which `import asc_mrkd` finds."""
    found = importlib.util.find_spec("asc_mrkd")
    if found is None or found.origin is None:
        sys.exit("there is no package asc_mrkd: install it, or set PYTHONPATH to its folder")
    return Path(found.origin).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("file", type=Path, help="record")
    parser.add_argument("--work", type=Path, help="empty folder that keeps the files")
    options = parser.parse_args()
    root = find_package()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"package: {root}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if any(work.iterdir()):
            sys.exit(f"{work} is not empty")
        action = {"write": write_record, "check": check_record}[options.action]
        complete = action(options.file, Place(root, work.resolve()))
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
