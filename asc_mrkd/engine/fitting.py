"""Settings that fit a feature store: the size of the network, the length of the training; and the time it will take."""

import copy
import os
import time
from collections.abc import Sequence
from typing import Any, cast

from asc_mrkd.config import Experiment, StoreConfig
from asc_mrkd.device import choose_device, unseeded, use_threads
from asc_mrkd.engine.checks import require_fitting
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import StoreError, list_of
from asc_mrkd.methods import check_experiment
from asc_mrkd.models import network_takes
from asc_mrkd.runs import RunFolder
from asc_mrkd.schema import apply_override, parse
from asc_mrkd.store.layout import FeatureStore, open_store
from asc_mrkd.store.selection import clips_in_use

MANY_CLIPS = 2000
"""Number of training clips above which the network is twice as wide."""

SEEN_CLIPS = 30_000
"""Number of clips that a training sees over all its epochs; EPOCHS bounds the number of epochs that follows."""

EPOCHS = (20, 100)
"""Fewest and most epochs."""

CROP_FRAMES = 64
"""Length of the random part of a clip that a training batch holds, where clips are longer."""

UNEVEN = 2
"""Ratio of the largest to the smallest class from which the classes are weighted."""

MEASURED_STEPS = 4
"""Steps that are timed, the first of which does not count."""


def fit_experiment(store: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Experiment:
    """Return an experiment that fits a feature store: cross-entropy on a small CP-ResNet, or what the overrides say.

    The network takes the channels of the store, and is wider for many clips; another one has its own defaults. The
    number of epochs falls with the number of clips; classes of uneven size are weighted. They are starting points for a
    first result, not tuned on any set.

    Args:
        store: folder of a finished feature store.
        overrides: `section.key=value`, as for an experiment file.

    Raises:
        StoreError: the folder is not a finished feature store.
        ConfigError: an override is not valid.

    Example:
        ```python
        experiment = fit_experiment("exp/store", ["method=mrkd", "train.epochs=50"])
        train(experiment, "exp/mrkd", seeds=[0, 1, 2, 3])
        ```
    """
    overrides = list_of(overrides, "overrides")
    run = RunFolder(store)
    if run.config_file.is_file():
        raise StoreError(f"{run} is a run folder, not a feature store", f"its experiment file is {run.config_file}")
    values = fitting_values(open_store(store), _data_section(store, overrides))
    model = values["model"]
    chosen = _overridden("model", model, overrides)
    name = chosen.get("name") if isinstance(chosen, dict) else None
    if isinstance(name, str) and name != model["name"]:
        takes_channels = network_takes(name, "in_channels")
        model["options"] = {"in_channels": model["options"]["in_channels"]} if takes_channels else {}
    for override in overrides:
        apply_override(values, override)
    return check_experiment(parse(Experiment, values, f"settings for {store}"), f"settings for {store}")


def _overridden(section: str, value: dict[str, Any], overrides: Sequence[str]) -> Any:
    """Return a section as the overrides have it; the value that is given stays as it is."""
    values = {section: copy.deepcopy(value)}
    for override in overrides:
        if override.startswith(section):
            apply_override(values, override)
    return values[section]


def _data_section(store: str | os.PathLike[str], overrides: Sequence[str]) -> StoreConfig:
    """Return the section `data` as the overrides have it, but in one split: folds train on about as many clips."""
    section = _overridden("data", {"store": str(store)}, overrides)
    config = parse(StoreConfig, section, f"settings for {store}")
    return config.model_copy(update={"folds": None, "fold": None})


def fitting_values(store: FeatureStore, data: StoreConfig) -> dict[str, Any]:
    """Return the sections of the experiment as an experiment file has them; `data` names the clips of the store."""
    channels, _, frames = store.spec.shape
    clips = clips_in_use(store, data)
    clips = clips[clips["split"] == "train"]
    counts = clips["label"].value_counts()
    few, many = EPOCHS
    epochs = min(max(SEEN_CLIPS // max(len(clips), 1), few), many)
    augment = {"roll_frames": frames // 8}
    if frames > 1.5 * CROP_FRAMES:
        augment["crop_frames"] = CROP_FRAMES
    is_uneven = len(counts) > 0 and counts.max() >= UNEVEN * counts.min()
    return {
        "data": {"store": str(store.folder)},
        "model": {
            "name": "cp_resnet",
            "options": {
                "in_channels": channels,
                "rho": 4,
                "width": 32 if len(clips) > MANY_CLIPS else 16,
                "blocks": [4, 2, 1],
            },
        },
        "method": {"name": "ce"},
        "augment": augment,
        "train": {
            "epochs": epochs,
            "batch_size": 8 if len(clips) < 200 else 16,
            "optimizer": {"name": "adam", "lr": 0.003},
            "class_weights": "balanced" if is_uneven else None,
            "precision": "auto",
            "channels_last": True,
            "evaluate_every": max(1, epochs // 10),
        },
    }


def describe_fit(experiment: Experiment) -> str:
    """Return the network of an experiment on a store, and the numbers of its clips, in words."""
    words = [experiment.model.name]
    if "width" in experiment.model.options:
        words.append(f"of width {experiment.model.options['width']}")
    if not experiment.data.is_cross_validation:
        clips = clips_in_use(open_store(experiment.data.folder), cast(StoreConfig, experiment.data))
        counts = clips["split"].value_counts()
        words.append(f"on {counts.get('train', 0)} clips, tested on {counts.get('test', 0)} others")
    return " ".join(words)


def expected_seconds(experiment: Experiment, seeds: Sequence[int]) -> float:
    """Return about how long a training will take (s), from a few steps of it that leave no trace.

    Methods with teachers take longer once they have some.

    Args:
        experiment: experiment to train.
        seeds: seeds to train, one after the other.

    Raises:
        StoreError, DataError, ModelError, ConfigError: the data or the network cannot be used.
    """
    trainings = len(seeds)
    if experiment.data.is_cross_validation:
        trainings *= experiment.data.folds or 1
        data = experiment.data.model_copy(update={"fold": 1})
        experiment = experiment.model_copy(update={"data": data})
    source = open_data(experiment.data)
    require_fitting(experiment, source)
    device = choose_device(experiment.train.device)
    trainer = Trainer(experiment, seeds[0], source.load(device).train, len(source.classes))
    times: list[float] = []

    def note_time(amount: int = 1, note: str | None = None) -> None:
        times.append(time.perf_counter())

    with use_threads(experiment.train.threads), unseeded(device):
        trainer.train_epoch(note_time, lambda: len(times) >= MEASURED_STEPS)
    per_step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    return per_step * trainer.total_steps * trainings


def describe_seconds(seconds: float) -> str:
    """Write a length of time in words.

    >>> describe_seconds(40), describe_seconds(500), describe_seconds(9000)
    ('less than a minute', '8 minutes', '2.5 hours')
    """
    if seconds < 60:
        return "less than a minute"
    if seconds < 5400:
        minutes = round(seconds / 60)
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{seconds / 3600:.1f} hours"
