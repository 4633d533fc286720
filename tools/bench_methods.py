"""Cost of every training method against cross-entropy: Table 1 and section 5 of the paper, measured.

    python tools/bench_methods.py                        # every method, on ResNet-20
    python tools/bench_methods.py --network resnet56 --methods mrkd,dml --rounds 7

Measured in the steady state: all backups of MrKD are real, PS-KD has a past, BAN is in its second generation.

counted  forward (f) and backward (b) passes of whole networks over a batch in one step, counted on the run; the early
         classifiers of msd and byot come on top
paper    its Table 1, which has one teacher, peer or branch; in brackets the values that follow for more backups
time     of a step over that of cross-entropy, which takes turns with it: median of the rounds, lowest to highest
extra    bytes of the tensors that the method holds besides the student, without gradients and momentum
peak     GPU only: the most memory that a step takes, in MB, gradients and activations included

Lines of the CSV file have the figure of cross-entropy (or of the student) as `ours` and that of the method as `theirs`.
"""

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from benchmark import Bench, Line, append, machine_name, paired_seconds, parser_of, ratio_of, run_epoch, speeds
from torch import Tensor, nn

from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import suggest
from asc_mrkd.methods import METHODS
from asc_mrkd.mrkd.networks import state_of

TAUGHT_BY_NOBODY = [name for name, row in METHODS.items() if not row.needs_teachers]
"""Methods that need no trained teacher."""

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "mrkd": ({"num_backups": 1}, {"num_backups": 3}, {"num_backups": 5}),
    "pskd": ({}, {"source": "model"}),
}
"""Options to measure a method with; all others with their defaults."""

PAPER = {
    "mrkd num_backups=1": "2f+1b",
    "mrkd num_backups=3": "(4f+1b)",
    "mrkd num_backups=5": "(6f+1b)",
    "ban": "2f+1b",
    "dml": "2f+2b",
    "msd": "2f+2b",
}


@dataclass(frozen=True)
class Cost:
    """Measurements of a method."""

    forwards: float
    backwards: float
    speeds: tuple[float, float]
    """Steps per second of cross-entropy and of the method."""
    ratio: tuple[float, float, float]
    """Time of a step over that of cross-entropy: median, lowest and highest."""
    kept: int
    """Bytes besides the student."""
    peak: int
    """Bytes on a GPU in a step; 0 on a CPU."""


def steady(bench: Bench, method: dict[str, Any]) -> Trainer:
    """Return a trainer that is past the beginning of its method."""
    # After an epoch of a generation BAN has a teacher, and after an epoch of an interval MrKD has one more.
    options = {"epochs": 1} if method["name"] == "ban" else {}
    interval = {"interval": bench.steps} if method["name"] == "mrkd" else {}
    trainer = bench.trainer(method=method | interval, **options)
    for _ in range(method.get("num_backups", 1)):
        run_epoch(trainer)
    return trainer


def measure(bench: Bench, method: dict[str, Any], ce: Trainer, rounds: int) -> Cost:
    """Measure a method against the trainer with cross-entropy."""
    gc.collect()
    before = torch.cuda.memory_allocated(bench.device) if bench.device.type == "cuda" else 0
    trainer = steady(bench, method)
    peak = peak_bytes(bench, trainer, before)
    with counted(type(trainer.student)) as rows:
        run_epoch(trainer)
    samples = bench.steps * bench.batch
    line = Line(lambda: run_epoch(ce), lambda: run_epoch(trainer), bench.steps, "steps/s")
    seconds = paired_seconds(line, rounds)
    kept = bytes_of(trainer.method) - bytes_of(trainer.student)
    forwards, backwards = rows["forward"] / samples, rows["backward"] / samples
    return Cost(forwards, backwards, speeds(line, seconds), ratio_of(seconds), kept, peak)


@contextmanager
def counted(network: type[nn.Module]) -> Iterator[Counter[str]]:
    """Count the rows that networks of that class take forwards and backwards, those of functional_call too."""
    rows: Counter[str] = Counter()
    forward = network.forward

    def counting(self: nn.Module, x: Tensor) -> Tensor:
        logits = forward(self, x)
        rows["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: rows.update(backward=len(gradient)))
        return logits

    with mock.patch.object(network, "forward", counting):
        yield rows


def peak_bytes(bench: Bench, trainer: Trainer, before: int) -> int:
    """Return what a step takes on a GPU at most, beyond the bytes that were in use `before` the trainer was built."""
    if bench.device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(bench.device)
    run_epoch(trainer)
    return torch.cuda.max_memory_allocated(bench.device) - before


def bytes_of(module: nn.Module) -> int:
    """Return the bytes of all tensors of a module, those in plain attributes too; shared ones count once."""
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors_of(module)}.values())


def tensors_of(thing: object) -> Iterator[Tensor]:
    """Yield every tensor with storage that hangs on a module, a mapping or a list."""
    if isinstance(thing, Tensor):
        if not thing.is_meta:
            yield thing
    elif isinstance(thing, nn.Module):
        yield from tensors_of(vars(thing))
    elif isinstance(thing, Mapping | list | tuple):
        for value in thing.values() if isinstance(thing, Mapping) else thing:
            yield from tensors_of(value)


def print_cost(title: str, cost: Cost) -> None:
    ratio, low, high = cost.ratio
    passes, time = f"{cost.forwards:g}f+{cost.backwards:g}b", f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    peak = f" {cost.peak / 1e6:8.1f}" if cost.peak else ""
    print(f"{title:18} {passes:7} {PAPER.get(title, ''):8} {time:20} {cost.kept:12,}{peak}", flush=True)


def print_backup(one: Cost, three: Cost, student: int, ce_peak: int) -> None:
    """Print the cost of one more backup of MrKD, from one to three, next to that of section 5 of the paper."""
    kept = (three.kept - one.kept) // 2
    print(f"A backup costs {(three.ratio[0] - one.ratio[0]) / 2:.0%} of a step of cross-entropy (the paper: 25 %);")
    print(f"with the wider ensemble it holds {kept:,} bytes, {kept / student:.0%} of the student's.")
    if ce_peak:
        print(f"It adds {(three.peak - one.peak) / 2 / ce_peak:.1%} to the peak of cross-entropy (the paper: 2.5 %).")


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of(__doc__, steps=10)  # one look at MrKD's teachers a round, as often as in a run
    parser.add_argument(
        "--methods", default=",".join(TAUGHT_BY_NOBODY), help="some of them, as in mrkd,dml; ce always runs"
    )
    options = parser.parse_args(arguments)
    names = list(dict.fromkeys(["ce", *options.methods.split(",")]))
    for name in names:
        if name not in TAUGHT_BY_NOBODY:
            parser.error(f"there is no method '{name}'; {suggest(name, TAUGHT_BY_NOBODY)}")
    bench = Bench(options.network, options.device, options.steps)
    ce = steady(bench, {"name": "ce"})
    student = sum(tensor.nbytes for tensor in state_of(ce.student).values())
    print(f"{options.network} of {student:,} bytes on {machine_name(bench.device)}")
    peak = f" {'peak, MB':>8}" if bench.device.type == "cuda" else ""
    print(f"{'':18} {'counted':7} {'paper':8} {'time':20} {'extra':>12}{peak}")
    costs: dict[str, Cost] = {}
    for method in [{"name": name, **variant} for name in names for variant in VARIANTS.get(name, ({},))]:
        title = " ".join([method["name"], *(f"{key}={value}" for key, value in method.items() if key != "name")])
        costs[title] = cost = measure(bench, method, ce, options.rounds)
        print_cost(title, cost)
        sides = [
            (1, cost.forwards, "forwards/step"),
            (1, cost.backwards, "backwards/step"),
            (student, cost.kept, "extra bytes"),
            (costs["ce"].peak, cost.peak, "bytes at peak"),
        ]
        append(options.csv, bench, "methods", title, *cost.speeds, "steps/s", cost.ratio[0])
        for ours, theirs, unit in sides:
            if ours:  # no peak on a CPU
                append(options.csv, bench, "methods", title, ours, theirs, unit, theirs / ours)
    if "mrkd" in names:
        print_backup(costs["mrkd num_backups=1"], costs["mrkd num_backups=3"], student, costs["ce"].peak)
    if "pskd" in names:
        print("pskd alone grows with the data: 400 bytes an image, 20 MB for CIFAR-100.")


if __name__ == "__main__":
    main()
