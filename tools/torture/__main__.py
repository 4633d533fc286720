"""The command of tools/torture.sh: all attacks or some of them, then the table."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from torture import damages, disks, kills, values, writers
from torture.material import Material
from torture.trials import Tally

ATTACKS = {
    "kills": ("25 SIGKILLs in training, six methods, scenes and images", kills.kill_training),
    "calls": ("a kill before every call that writes", kills.kill_before_every_write),
    "workers": ("8 SIGKILLs of workers in extraction", kills.kill_workers),
    "ranks": ("2 SIGKILLs of a rank under torchrun", kills.kill_ranks),
    "checkpoints": ("463 damages of a checkpoint", damages.damage_checkpoint),
    "models": ("463 damages of a model file", damages.damage_model_file),
    "stores": ("damages of a feature store", damages.damage_store),
    "predictions": ("23 damages of predictions.csv", damages.damage_predictions),
    "others": ("40 damages of the other files of a run", damages.damage_other_files),
    "values": ("141 wrong values of an experiment", values.try_wrong_values),
    "disks": ("disks of 8 sizes", disks.fill_disks),
    "writers": ("two writers: training, sweep, extraction", writers.write_twice),
}
"""Attacks by their name: description, function of the tally and the material."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools/torture.sh", description="Attack the toolkit.")
    parser.add_argument("--only", metavar="NAMES", default=",".join(ATTACKS), help=f"attacks: {', '.join(ATTACKS)}")
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials to make, 0 to 1")
    options = parser.parse_args()
    names = options.only.split(",")
    unknown = [name for name in names if name not in ATTACKS]
    if unknown:
        parser.error(f"there is no attack '{unknown[0]}'; known: {', '.join(ATTACKS)}")
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    tallies = []
    try:
        for name in names:
            tallies.append(attack(name, Material(folder), options.share))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(tallies)
    sys.exit(any(tally.wrong for tally in tallies))


def attack(name: str, material: Material, share: float) -> Tally:
    """Run one attack and print the trials that came out wrong."""
    title, function = ATTACKS[name]
    tally = Tally(title, share)
    start = time.monotonic()
    function(tally, material)
    print(f"{name}: {tally.tried} tried, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    for line in tally.wrong:
        print(f"  wrong: {line}", file=sys.stderr, flush=True)
    return tally


def print_table(tallies: list[Tally]) -> None:
    """Print what was tried and what came out right."""
    width = max(len(tally.name) for tally in tallies)
    print(f"{'attack':{width}}  tried  right")
    for tally in tallies:
        print(f"{tally.name:{width}}  {tally.tried:5}  {tally.tried - len(tally.wrong):5}")


if __name__ == "__main__":
    main()
