"""Examine the installation and the data: the functions behind `asc-mrkd doctor` and `asc-mrkd check-data`."""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_mrkd.datasets.findings import DataCheck
from asc_mrkd.machine import available_cores
from asc_mrkd.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

    from asc_mrkd.datasets import pieces
    from asc_mrkd.datasets.recordings import Reading


def check_data(
    folder: "str | os.PathLike[str] | pd.DataFrame",
    *,
    spec: str | os.PathLike[str] | None = None,
    reading: "Reading | None" = None,
    cutting: "pieces.Cutting | None" = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> DataCheck:
    """Read every clip of a data set, every image of an image set or every row of a feature store, and name all faults.

    Args:
        folder: a data set or image set as its archives unpack, a finished feature store, or own recordings: a folder
            per class, or a table.
        spec: front end that will extract the features, as in `extract`: recordings that it refuses are errors. None
            compares recordings with each other, and warns if the default front end would refuse most of them.
        reading: columns and split of own recordings, as in `extract`.
        cutting: length of the clips, as in `extract`. Then the length of a recording is not an error; for own
            recordings it never is.
        workers: processes that read recordings; None takes one per processor core.
        progress: shows how many clips or rows were read.

    Returns:
        The check: all findings, and whether the data pass.

    Raises:
        DataError: the folder holds no data set, or its lists are damaged.
        ConfigError: the front end is not valid.
        StoreError: the feature store is not finished, or its statistics are damaged.

    Example:
        check = check_data("exp/scenes")
        if not check.passes(max_bad=0.01):
            print(check.unusable)
    """
    # Imported here: `doctor` must run where a library for sound or images is broken.
    from asc_mrkd.datasets.images import is_image_set
    from asc_mrkd.store.layout import is_store

    if isinstance(folder, str | os.PathLike):
        folder = Path(folder)
        if is_store(folder):
            return check_feature_store(folder, progress)
        if is_image_set(folder):
            return check_image_set(folder)
    return check_clips(folder, spec, reading, cutting, workers or available_cores(), progress)


def check_feature_store(folder: Path, progress: Progress) -> DataCheck:
    """Read every row of a feature store and name all faults."""
    from asc_mrkd.store import open_store
    from asc_mrkd.store.check import check_store

    store = open_store(folder)
    findings = check_store(store, progress)
    return DataCheck(f"feature store {store.spec.name}", "rows", _splits(store.clips), store.classes, findings)


def check_image_set(folder: Path) -> DataCheck:
    """Read every image of an image set and name all faults."""
    from asc_mrkd.datasets import check_images
    from asc_mrkd.datasets.images import open_images

    images = open_images(folder)
    splits = {name: len(split.table) for name, split in images.splits.items()}
    return DataCheck(images.layout, "images", splits, images.classes, check_images(images))


def check_clips(
    folder: "Path | pd.DataFrame",
    spec: str | os.PathLike[str] | None,
    reading: "Reading | None",
    cutting: "pieces.Cutting | None",
    workers: int,
    progress: Progress,
) -> DataCheck:
    """Read every clip of a data set and name all faults; see `check_data`."""
    from asc_mrkd.datasets import check_recordings, read_dataset
    from asc_mrkd.datasets.check import compare_lists, compare_shapes, examine_recordings
    from asc_mrkd.datasets.own import describe_own
    from asc_mrkd.datasets.pieces import Cutting
    from asc_mrkd.features.spec import DEFAULT_SPEC, load_spec
    from asc_mrkd.store.preparation import prepare

    dataset = read_dataset(folder, reading)
    summary: list[str] = []
    if dataset.is_own or cutting not in (None, Cutting()):  # lengths may differ
        shapes, findings = examine_recordings(dataset, workers=workers, progress=progress)
        findings += compare_shapes(shapes, ("sample_rate", "channels")) + compare_lists(dataset)
        if dataset.is_own:
            summary += describe_own(dataset, list(shapes.values()))
        if shapes:
            summary.append(f"extraction: {'; '.join(prepare(dataset, spec, cutting, shapes).sentences)}")
    else:
        frontend = load_spec(spec or DEFAULT_SPEC)
        findings = check_recordings(
            dataset,
            sample_rate=frontend.sample_rate if spec and not frontend.resample else None,
            seconds=frontend.clip_seconds if spec else None,
            tolerance=frontend.pad_or_trim if spec else 0.0,
            next_seconds=None if spec else frontend.clip_seconds,
            workers=workers,
            progress=progress,
        )
    return DataCheck(dataset.layout, "clips", _splits(dataset.clips), dataset.classes, findings, summary)


def _splits(clips: "pd.DataFrame") -> dict[str, int]:
    """Count the clips of each split, the largest first."""
    return {str(name): int(count) for name, count in clips["split"].value_counts().items()}


def examine_installation() -> dict[str, Any]:
    """Return versions, processor, GPU, free disk (bytes), missing libraries, and the optional extras, by name.

    `extras` holds the libraries of each extra with their versions; None for a library that is not installed.
    """
    import torch

    from asc_mrkd.device import choose_device, gpu_name, has_fast_bfloat16
    from asc_mrkd.features.filterbank import torchaudio_problem
    from asc_mrkd.runs import environment

    report = environment(torch.get_num_threads(), gpu_name())
    del report["command"]
    report["torch"] = torch.__version__  # with its kind of build, such as +cpu
    report["gpu"] = report["gpu"] or "none: training runs on the processor"
    problem = torchaudio_problem()
    report["torchaudio"] = f"{problem}; librosa's filterbank takes over" if problem else "works"
    has_bfloat16 = has_fast_bfloat16(choose_device("auto"))
    report["bfloat16"] = "in hardware" if has_bfloat16 else "emulated: `auto` takes float32"
    report["free_disk_bytes"] = shutil.disk_usage(".").free
    extras: dict[str, dict[str, str | None]] = {}
    for name, extra in _requirements():
        if extra:
            extras.setdefault(extra, {})[name] = _installed_version(name)
        elif name not in ("torch", "torchaudio"):
            report[name] = _installed_version(name) or f"missing: pip install {name}"
    report["extras"] = extras
    return report


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield the libraries that this package needs here, each with its extra, or "" if it always belongs to it."""
    from packaging.requirements import Requirement

    try:
        texts = requires("asc-mrkd") or []
    except PackageNotFoundError:  # run from the source tree without being installed
        texts = []
    for text in texts:
        requirement = Requirement(text)
        found = re.search(r"extra == .(\w+)", text)
        extra = found[1] if found else ""
        is_for_here = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if is_for_here and extra != "dev" and requirement.name != "asc-mrkd":
            yield requirement.name, extra


def _installed_version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
