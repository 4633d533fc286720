"""asc-mrkd check-data: what is wrong with a data set or a feature store."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.options import Json, MaxBad, Workers, print_json
from asc_mrkd.cli.progress import progress
from asc_mrkd.workers import CORES

if TYPE_CHECKING:
    from pandas import DataFrame

    from asc_mrkd.datasets.check import Finding

SHOWN = 10
"""Findings of one code that are printed; --json prints all."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what of it cannot be used: clips or rows, or splits and classes of an image set."""

    layout: str
    unit: str
    splits: dict[str, int]
    classes: list[str]
    findings: "list[Finding]"

    @property
    def total(self) -> int:
        """Number of clips or images."""
        return sum(self.splits.values())

    @property
    def bad(self) -> list[str]:
        """Subjects of the errors, each once."""
        from asc_mrkd.datasets.check import unusable

        return unusable(self.findings)


def check_data(
    folder: Annotated[Path, typer.Argument(help="Data set as unpacked from its archives, or a feature store.")],
    max_bad: MaxBad = 0.01,
    workers: Workers = CORES,
    as_json: Json = False,
) -> None:
    """Read every clip, image or row and name everything that is wrong, with a reason code.

    An image set is compared with the official one, a feature store with its checksums; --max-bad and --workers are for
    recordings.

    Example: asc-mrkd check-data data/TUT-urban-acoustic-scenes-2018-development
    """
    from asc_mrkd.datasets.images import is_image_set
    from asc_mrkd.store.layout import is_store

    if is_store(folder):
        found, verdict, allowed = _check_store(folder), "rows are damaged", 0.0
    elif is_image_set(folder):
        found, verdict, allowed = _check_images(folder), "", 0.0
    else:
        found, verdict, allowed = _check_clips(folder, workers), "clips cannot be used", max_bad
    if as_json:
        print_json(
            {
                "layout": found.layout,
                "clips": found.total,
                "splits": found.splits,
                "classes": found.classes,
                "bad": found.bad,
                "findings": [asdict(finding) for finding in found.findings],
            }
        )
    else:
        _print(found)
        if verdict:
            typer.echo(f"{len(found.bad)} of {found.total} {verdict}")
        else:
            typer.echo(f"not the official {found.layout}: {', '.join(found.bad)}" if found.bad else "all can be used")
    if len(found.bad) > allowed * found.total:
        raise typer.Exit(1)


def _check_store(folder: Path) -> Diagnosis:
    from asc_mrkd.datasets.check import check_store
    from asc_mrkd.store import open_store

    store = open_store(folder)
    with progress("reading", len(store.clips), "rows") as advance:
        findings = check_store(store, advance)
    return Diagnosis(f"feature store {store.spec.name}", "rows", _splits(store.clips), store.classes, findings)


def _check_clips(folder: Path, workers: int) -> Diagnosis:
    from asc_mrkd.datasets.check import check_dataset
    from asc_mrkd.datasets.dcase import read_dataset

    dataset = read_dataset(folder)
    with progress("reading", len(dataset.clips), "clips") as advance:
        findings = check_dataset(dataset, workers=workers, on_clip=lambda name: advance())
    return Diagnosis(dataset.layout, "clips", _splits(dataset.clips), dataset.classes, findings)


def _splits(clips: "DataFrame") -> dict[str, int]:
    return {str(name): count for name, count in clips["split"].value_counts().items()}


def _check_images(folder: Path) -> Diagnosis:
    from asc_mrkd.datasets.images import open_images
    from asc_mrkd.datasets.images.check import check_images

    images = open_images(folder)
    splits = {name: len(split.table) for name, split in images.splits.items()}
    return Diagnosis(images.layout, "images", splits, images.classes, check_images(images))


def _print(found: Diagnosis) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in found.splits.items())
    typer.echo(f"{found.layout}: {found.total} {found.unit} ({counts}), {len(found.classes)} classes")
    for code in dict.fromkeys(finding.code for finding in found.findings):
        same = [finding for finding in found.findings if finding.code == code]
        typer.echo(f"{same[0].severity} {code}: {len(same)}")
        for finding in same[:SHOWN]:
            typer.echo(f"    {finding.subject}: {finding.detail}")
        if len(same) > SHOWN:
            typer.echo(f"    ... and {len(same) - SHOWN} more (--json lists all)")
