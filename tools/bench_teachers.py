"""Cost of MrKD's teachers against cross-entropy: every way to the logits of the backups, for 1, 3 and 5 of them.

    python tools/bench_teachers.py                        # ResNet-20, batches of 128
    python tools/bench_teachers.py --network cp_resnet --steps 2    # receptive field 5, width 32, batches of 10
    python tools/bench_teachers.py --channels-last                  # or --compile, or both; for all networks

Measured in the steady state: all backups are real, and what is kept is known.

passes   forward (f) and backward (b) passes of whole networks over a batch in one step, counted on the run
time     of a step over that of cross-entropy, which takes turns with it: median of the rounds, lowest to highest
peak     most memory of an epoch over that of cross-entropy: weights, gradients, momentum, what the method keeps,
         activations, and the copy of the state with which the engine could undo the steps
a backup its share of the peak of cross-entropy, from the difference between 5 backups and 1

`exact/batch` and `exact/eval` normalise by the batch and by running statistics. The time of `cached` does not include
its one pass per sample and backup. The peaks of `replay` and `cached` do not include the stored logits, n + 1 and n
float16 values per sample and class.
`plain` is cross-entropy in contiguous float32.

Lines of the CSV file have the figure of cross-entropy as `ours` and that of the teachers as `theirs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from bench_methods import counted, tensors_of
from benchmark import Bench, Line, append, machine_name, paired_seconds, parser_of, ratio_of, run_epoch, speeds
from torch.profiler import ProfilerActivity, profile

from asc_mrkd.engine.loop.trainer import Trainer

NETWORK_OPTIONS: dict[str, dict[str, Any]] = {"cp_resnet": {"rho": 5, "width": 32}}
"""Options of networks that differ from their defaults."""

WAYS: dict[str, dict[str, Any]] = {
    "exact/batch": {"teachers": "exact", "teacher_bn": "batch"},
    "exact/eval": {"teachers": "exact", "teacher_bn": "eval"},
    "cached": {"teachers": "cached", "teacher_bn": "eval"},
    "repeat": {"teachers": "repeat"},
    "replay": {"teachers": "replay"},
}
"""Options of MrKD by the name of the line."""

BACKUPS = (1, 3, 5)

NEVER = 10**9
"""Interval (steps) that no run reaches."""


@dataclass(frozen=True)
class Cost:
    """Measurements of one line."""

    passes: str
    """Passes of a step, such as 2f+1b."""
    speeds: tuple[float, float]
    """Steps per second of cross-entropy and of the teachers."""
    ratio: tuple[float, float, float]
    """Time of a step over that of cross-entropy: median, lowest and highest."""
    peak: int
    """Most memory of an epoch (bytes)."""


def steady(bench: Bench, way: Mapping[str, Any], num_backups: int, train: Mapping[str, Any]) -> Trainer:
    """Return a trainer of MrKD whose backups are all real and whose kept logits are all known."""
    method = {"name": "mrkd", "interval": bench.steps, "num_backups": num_backups, **way}
    trainer = bench.trainer(method=method, augmented=way["teachers"] != "cached", **train)
    replay = trainer.method.replay
    if way["teachers"] == "repeat":  # an epoch is an interval, and brings one more backup
        for _ in range(num_backups + 1):
            run_epoch(trainer)
        return trainer
    replay.interval = NEVER
    run_epoch(trainer)
    for _ in range(num_backups):
        replay.teachers.push(replay.model)
    run_epoch(trainer)
    return trainer


def measure(bench: Bench, trainer: Trainer, ce: Trainer, rounds: int) -> Cost:
    """Measure a trainer against the one with cross-entropy."""
    with counted(type(trainer.student)) as rows:
        run_epoch(trainer)
    samples = bench.steps * bench.batch
    passes = f"{rows['forward'] / samples:.3g}f+{rows['backward'] / samples:.3g}b"
    line = Line(lambda: run_epoch(ce), lambda: run_epoch(trainer), bench.steps, "steps/s")
    seconds = paired_seconds(line, rounds)
    return Cost(passes, speeds(line, seconds), ratio_of(seconds), peak_bytes(trainer))


def peak_bytes(trainer: Trainer) -> int:
    """Return the most memory of an epoch: what the trainer holds before it, and what the epoch allocates on top."""
    held = [*tensors_of(trainer.method), *tensors_of(trainer.optimizer.state_dict())]
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in held}.values()) + allocated_bytes(trainer)


def allocated_bytes(trainer: Trainer) -> int:
    """Return the most memory that an epoch allocates at a time."""
    if trainer.device.type == "cuda":
        before = torch.cuda.memory_allocated(trainer.device)
        torch.cuda.reset_peak_memory_stats(trainer.device)
        run_epoch(trainer)
        return torch.cuda.max_memory_allocated(trainer.device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        run_epoch(trainer)
    events = [event for event in run.profiler.kineto_results.events() if event.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def print_cost(title: str, backups: str, cost: Cost, ce_peak: int) -> None:
    ratio, low, high = cost.ratio
    time = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    print(f"{title:12} {backups:>7} {cost.passes:8} {time:22} {cost.peak / ce_peak:6.3f}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of(__doc__, steps=4)
    parser.add_argument("--channels-last", action="store_true", help="store all networks channels last")
    parser.add_argument("--compile", action="store_true", help="compile all networks")
    options = parser.parse_args(arguments)
    train = {"compile": options.compile}
    if options.channels_last:
        train["channels_last"] = True
    bench = Bench(options.network, options.device, options.steps, NETWORK_OPTIONS.get(options.network, {}))
    print(f"{options.network}, batches of {bench.batch}, on {machine_name(bench.device)}")
    print(f"{'teachers':12} {'backups':>7} {'passes':8} {'time over CE':22} {'peak':>6}")
    baselines = {augmented: bench.trainer(augmented=augmented, **train) for augmented in (True, False)}
    ce_peaks = {}
    for augmented, trainer in baselines.items():
        run_epoch(trainer)
        ce_peaks[augmented] = peak_bytes(trainer)
    plain = measure(bench, bench.trainer(precision="float32", channels_last=False), baselines[True], options.rounds)
    print_cost("plain", "", plain, ce_peaks[True])
    append(options.csv, bench, "teachers", "plain", *plain.speeds, "steps/s", plain.ratio[0])
    for title, way in WAYS.items():
        augmented = way["teachers"] != "cached"
        ce_peak = ce_peaks[augmented]
        peaks = []
        for count in BACKUPS:
            cost = measure(bench, steady(bench, way, count, train), baselines[augmented], options.rounds)
            print_cost(title, str(count), cost, ce_peak)
            part = f"{title} num_backups={count}"
            append(options.csv, bench, "teachers", part, *cost.speeds, "steps/s", cost.ratio[0])
            append(options.csv, bench, "teachers", part, ce_peak, cost.peak, "bytes at peak", cost.peak / ce_peak)
            peaks.append(cost.peak)
        share = (peaks[-1] - peaks[0]) / (BACKUPS[-1] - BACKUPS[0]) / ce_peak
        print(f"{'':12} a backup takes {share:.2%} of the peak of cross-entropy", flush=True)


if __name__ == "__main__":
    main()
