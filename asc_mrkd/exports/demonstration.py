"""A demonstration: a page that hears, served on this computer, with a trained network or one that is trained for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asc_mrkd.datasets.synthetic import make_scenes
from asc_mrkd.engine.training import train
from asc_mrkd.exports.exporter import export, require_ready
from asc_mrkd.exports.page import offer_clips, served_page
from asc_mrkd.folders import resource_folder
from asc_mrkd.methods import load_experiment
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.runs import RunFolder
from asc_mrkd.store import extract
from asc_mrkd.store.layout import open_store

SEED = 0
"""Seed of the network that is trained for the demonstration."""


@contextmanager
def demo(
    run: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "exp/demo",
    runtime: str | os.PathLike[str] | None = None,
    port: int = 0,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """Make the page of a network and serve it on the loopback address until the block ends.

    Without a run a reduced network is trained on the built-in scenes, and the page offers some of their test clips. The
    same call again finds it trained.

    Args:
        run: a run folder, a seed folder or a model file; None trains one.
        out: folder for the page and, without a run, for the scenes, their features and the run.
        runtime: the npm package onnxruntime-web or its folder `dist`; None: node_modules/onnxruntime-web in the working
            directory.
        port: port; 0 takes a free one.
        progress: told about every part of the work.

    Yields:
        The address of the page.

    Raises:
        MissingExtraError: onnx, onnxscript, onnxruntime or onnxruntime-web is not installed.
        RunError, ConfigError, ModelError: the run cannot be exported, see `export`; or the port is in use.

    Example:
        ```python
        with demo("exp/ce") as address:
            input(f"{address} Enter ends it")
        ```
    """
    out = Path(out)
    page = out / "page"
    if run is None:
        require_ready(page, "web", runtime)  # here, because the training comes before the export
    with served_page(page, port) as address:  # first: a port that is in use is named before the work
        if run is None:
            scenes = train_built_in(out, progress)
            export(out / "run", page, "web", runtime=runtime, progress=progress)
            offer_clips(page, choose_clips(out / "store", scenes))
        else:
            export(run, page, "web", runtime=runtime, progress=progress)
        yield address


def is_trained(out: str | os.PathLike[str]) -> bool:
    """Return whether the network for the demonstration is trained."""
    return SEED in RunFolder(Path(out) / "run").finished_seeds()


def train_built_in(out: Path, progress: Progress = no_progress) -> Path:
    """Train the reduced network on the built-in scenes below a folder, and return the folder of the scenes."""
    scenes = make_scenes(out / "scenes", progress=progress)
    extract(scenes, out / "store", "pmel256", progress=progress)
    settings = resource_folder("recipes") / "dcase18/conf/reduced.yaml"
    overrides = [f"data.store={out / 'store'}", "augment.mixup=0"]  # so short a training underfits with Mixup
    experiment = load_experiment(settings, overrides)
    train(experiment, out / "run", [SEED], progress=progress)
    return scenes


def choose_clips(store: Path, scenes: Path) -> list[tuple[Path, str]]:
    """Return the first test clip of every class, and the class."""
    clips = open_store(store).clips
    first = clips[clips["split"] == "test"].drop_duplicates("label").sort_values("label")
    return [(scenes / name, label) for name, label in zip(first["filename"], first["label"], strict=True)]
