"""Speed of `extract-features` on pmel256 compared with the same front end by librosa, in one run.

    python tools/bench_features.py                       # on built-in scenes, made on the spot
    python tools/bench_features.py --data DIR --clips 60 # on a data set, as unpacked from its archives

The reference is the usual code, also CP-JKU's published one: `librosa.load` with its default resampler, soxr_hq, and
for every channel `stft`, `perceptual_weighting` and `melspectrogram(S=...)`. Both sides take the same clips, which have
been read before. They alternate, each in a separate process with one thread (the script starts itself again with the
variables for it). The figures are medians, the ratio is the median of the ratios of the rounds, and the largest
difference is that of the features before they are rounded to float16.

Then `extract_clips` runs end to end with one and with two workers, alternating, on links to the same clips. The speed
counts from clip 40 on, without the start, which is printed separately: the time until the first clip is done (imports,
filterbank, processes). The memory of a worker is its largest resident set.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import librosa
import numpy as np
import torch
from benchmark import Bench, Line, append, machine_name, paired_seconds, ratio_of, speeds
from extraction_speed import ALL, FIRST, extract_by_turns

from asc_mrkd.datasets import read_dataset
from asc_mrkd.datasets.synthetic import make_scenes
from asc_mrkd.features import Frontend, FrontendSpec, load_spec, numpy_backend
from asc_mrkd.features import frontend as frontend_module
from asc_mrkd.features.numpy_backend import NumpyTransform

THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
STAGES = ("decode", "resample", "STFT", "dB, weighting", "mel")


class Laps:
    """Stop watch that adds up the time of each stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.mark = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Count the time since the last call for `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self.mark
        self.mark = now


@np.errstate(divide="ignore")  # A-weighting of 0 Hz
def reference(path: Path, spec: FrontendSpec, lap: Callable[[str], None] = lambda stage: None) -> np.ndarray:
    """Return the features of a recording by librosa, with `librosa.load` split into its two steps to time each."""
    samples, rate = librosa.load(path, mono=False, sr=None)
    lap("decode")
    samples = librosa.resample(samples, orig_sr=rate, target_sr=spec.sample_rate, res_type="soxr_hq")
    lap("resample")
    frequencies = librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.n_fft)
    channels = []
    for channel in samples:
        power = np.abs(librosa.stft(channel, n_fft=spec.n_fft, hop_length=spec.hop_length, pad_mode="reflect")) ** 2
        lap("STFT")
        decibels = librosa.perceptual_weighting(power, frequencies, ref=1.0, top_db=spec.top_db)
        lap("dB, weighting")
        channels.append(librosa.feature.melspectrogram(S=decibels, sr=spec.sample_rate, n_mels=spec.n_mels))
        lap("mel")
    return np.stack(channels)


@contextmanager
def watched(lap: Callable[[str], None]) -> Iterator[None]:
    """Call `lap` at the end of every stage of our front end."""
    places = [
        (frontend_module, "read_audio"),
        (frontend_module, "resample"),
        (numpy_backend, "rfft"),
        (numpy_backend, "log_power"),
        (NumpyTransform, "write_mel"),
    ]

    def watch(function: Callable, stage: str) -> Callable:
        def run(*arguments: object) -> object:
            result = function(*arguments)
            lap(stage)
            return result

        return run

    with ExitStack() as stack:
        for (owner, name), stage in zip(places, STAGES, strict=True):
            stack.enter_context(mock.patch.object(owner, name, watch(getattr(owner, name), stage)))
        yield


def run_ours(frontend: Frontend, paths: list[Path]) -> None:
    """Extract all clips, as a worker of an extraction does after it has received the front end."""
    for path in paths:
        frontend.from_file(path)


def run_reference(spec: FrontendSpec, paths: list[Path]) -> None:
    for path in paths:
        reference(path, spec)


def time_our_stages(frontend: Frontend, path: Path) -> list[float]:
    """Return the seconds of each stage of a clip."""
    laps = Laps()
    with watched(laps):
        frontend.from_file(path)
    return [laps.seconds[stage] for stage in STAGES]


def time_reference_stages(spec: FrontendSpec, path: Path) -> list[float]:
    """Return the seconds of each stage of a clip, and of the filterbanks, which librosa makes for every channel."""
    laps = Laps()
    reference(path, spec, laps)
    for _ in range(spec.channels):
        librosa.filters.mel(sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels)
    laps("filterbanks")
    return [laps.seconds[stage] for stage in (*STAGES, "filterbanks")]


def compare(options: argparse.Namespace, paths: list[Path]) -> None:
    """Print and store the speed of both sides, their largest difference and the time of their stages."""
    frontend = Frontend(load_spec("pmel256"))
    spec = frontend.spec
    difference = max(float(np.abs(frontend.from_file(path) - reference(path, spec)).max()) for path in paths)
    # A process per side: the allocator of one must not change the speed of the other.
    with one_process() as our_side, one_process() as their_side:
        line = Line(
            lambda: our_side.submit(run_ours, frontend, paths).result(),
            lambda: their_side.submit(run_reference, spec, paths).result(),
            len(paths),
            "clips/s",
        )
        seconds = paired_seconds(line, options.rounds)
        stages = [
            (
                our_side.submit(time_our_stages, frontend, path).result(),
                their_side.submit(time_reference_stages, spec, path).result(),
            )
            for path in paths
        ]
    ours, theirs = ((1000 * np.median(side[1:], axis=0)).tolist() for side in zip(*stages, strict=True))
    speed, their_speed = speeds(line, seconds)
    ratio, low, high = ratio_of(seconds)
    print(f"{'':16}{'ours':>8}{'reference':>12}")
    print(f"{'clips/s/core':16}{speed:8.1f}{their_speed:12.1f}")
    print(f"ratio           {ratio:8.2f} ({low:.2f} to {high:.2f})")
    print(f"largest difference: {difference:.1e} dB")
    print_stages(ours, theirs)
    append(options.csv, describe_bench(paths), "features", "librosa", speed, their_speed, line.unit, ratio)


def print_stages(ours: list[float], theirs: list[float]) -> None:
    """Print the time (ms per clip) of each stage of both."""
    *theirs, filterbanks = theirs
    print(f"\n{'ms per clip':16}{'ours':>8}{'reference':>12}")
    for stage, a, b in zip([*STAGES, "sum"], [*ours, sum(ours)], [*theirs, sum(theirs)], strict=True):
        print(f"{stage:16}{a:8.1f}{b:12.1f}")
    kept = (sum(theirs) - filterbanks) / sum(ours)
    print(f"The reference makes a filterbank for every channel: {filterbanks:.1f} ms of its mel.")
    print(f"Against one that kept it, the ratio of the sums would be {kept:.2f}.", flush=True)


def one_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def describe_bench(paths: list[Path]) -> Bench:
    """Return the entries of a line of the CSV file; its column `network` names the front end."""
    return Bench("pmel256", torch.device("cpu"), len(paths))


def scale(options: argparse.Namespace, paths: list[Path]) -> None:
    """Print and store the speed of extraction with two workers and with one."""
    rounds = extract_by_turns(paths, options.rounds)
    line = Line(lambda: None, lambda: None, ALL - FIRST, "clips/s")
    seconds = np.array([[run.seconds for run in both] for both in rounds])
    two, one = speeds(line, seconds)
    ratio, low, high = ratio_of(seconds)
    start = np.median([[run.start for run in both] for both in rounds], axis=0)
    memory = max(run.worker_bytes for both in rounds for run in both)
    print(f"\n{'extract':16}{'2 workers':>10}{'1 worker':>10}")
    print(f"{'clips/s':16}{two:10.1f}{one:10.1f}")
    print(f"{'first clip, s':16}{start[0]:10.1f}{start[1]:10.1f}")
    print(f"{'ratio':16}{ratio:10.2f} ({low:.2f} to {high:.2f})")
    print(f"largest worker: {memory / 1e6:.0f} MB")
    append(options.csv, describe_bench(paths), "features", "two workers", two, one, line.unit, ratio)


def main() -> None:
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="data set folder (default: built-in scenes)")
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default="librosa,workers")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("benchmarks.csv"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(options.data or make_scenes(Path(folder) / "scenes", clips_per_class=3))
        paths = [dataset.root / name for name in dataset.clips["filename"]][: options.clips]
        print(f"{len(paths)} clips on {machine_name(torch.device('cpu'))}")
        if "librosa" in options.parts:
            compare(options, paths)
        if "workers" in options.parts:
            scale(options, paths)


if __name__ == "__main__":
    main()
