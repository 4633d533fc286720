"""asc-mrkd check-data: what is wrong with a data set."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import CORES, Json, MaxBad, Workers, print_json
from asc_mrkd.cli.progress import progress

SHOWN = 10
"""Findings of one code that are printed; --json prints all."""


def check_data(
    folder: Annotated[Path, typer.Argument(help="Data set folder as unpacked from its archives.")],
    max_bad: MaxBad = 0.01,
    workers: Workers = CORES,
    as_json: Json = False,
) -> None:
    """Read every clip of a data set and name everything that is wrong, with a reason code.

    Example: asc-mrkd check-data data/TUT-urban-acoustic-scenes-2018-development
    """
    from asc_mrkd.data.check import bad_clips, check_dataset
    from asc_mrkd.data.dcase import read_dataset

    dataset = read_dataset(folder)
    with progress("reading", len(dataset.clips), "clips") as advance:
        findings = check_dataset(dataset, workers=workers, on_clip=lambda name: advance())
    bad = bad_clips(findings)
    splits = dataset.clips["split"].value_counts().to_dict()
    if as_json:
        print_json({"layout": dataset.layout, "clips": len(dataset.clips), "splits": splits,
                    "classes": dataset.classes, "bad": bad, "findings": [asdict(f) for f in findings]})  # fmt: skip
    else:
        counts = ", ".join(f"{count} {split}" for split, count in splits.items())
        typer.echo(f"{dataset.layout}: {len(dataset.clips)} clips ({counts}), {len(dataset.classes)} classes")
        for code in dict.fromkeys(finding.code for finding in findings):
            same = [finding for finding in findings if finding.code == code]
            typer.echo(f"{same[0].severity} {code}: {len(same)}")
            for finding in same[:SHOWN]:
                typer.echo(f"    {finding.subject}: {finding.detail}")
            if len(same) > SHOWN:
                typer.echo(f"    ... and {len(same) - SHOWN} more (--json lists all)")
        typer.echo(f"{len(bad)} of {len(dataset.clips)} clips cannot be used")
    if len(bad) > max_bad * len(dataset.clips):
        raise typer.Exit(1)
