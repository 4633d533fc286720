"""Settings that fit a store: channels, width, epochs, crops and class weights follow it, overrides come last."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_cli
from helpers.data import SPEC, make_store

from asc_mrkd.config import StoreConfig
from asc_mrkd.engine.fitting import expected_seconds, fit_experiment, fitting_values
from asc_mrkd.errors import ConfigError, ModelError, StoreError
from asc_mrkd.runs import RunFolder
from asc_mrkd.store.layout import FeatureStore


def described_store(clips: int, uneven: int = 1, frames: int = 200, channels: int = 1) -> FeatureStore:
    """Return a store of that many training clips of two classes, one `uneven` times as large, without features."""
    labels = np.where(np.arange(clips) % (uneven + 1) == 0, "a", "b")
    table = pd.DataFrame({"label": labels, "split": "train", "status": "ok"})
    seconds = frames * SPEC.hop_length / SPEC.sample_rate
    spec = SPEC.model_copy(update={"clip_seconds": seconds, "channels": channels})
    return FeatureStore(Path("store"), spec, table, ["a", "b"], np.empty(0))


@pytest.mark.parametrize(
    ("store", "width", "epochs", "batch", "crop", "weights"),
    [
        (described_store(60), 16, 100, 8, 64, None),
        (described_store(600, uneven=3), 16, 50, 16, 64, "balanced"),
        (described_store(6000, frames=40), 32, 20, 16, None, None),
    ],
)
def test_the_settings_follow_the_store(store, width, epochs, batch, crop, weights):
    values = fitting_values(store, StoreConfig(store="store"))
    assert values["model"]["options"]["width"] == width
    assert values["model"]["options"]["in_channels"] == store.spec.channels == 1
    assert (values["train"]["epochs"], values["train"]["batch_size"]) == (epochs, batch)
    assert values["augment"].get("crop_frames") == crop
    assert values["train"]["class_weights"] == weights


def test_overrides_come_last_and_are_checked(store):
    experiment = fit_experiment(store, ["method=label_smoothing", "train.epochs=3"])
    assert experiment.method.options == {"epsilon": 0.1}
    assert experiment.train.epochs == 3
    assert experiment.model.options["in_channels"] == 2
    with pytest.raises(ConfigError, match=r"unknown key 'train\.epoch'"):
        fit_experiment(store, ["train.epoch=3"])
    with pytest.raises(StoreError, match="is not a feature store"):
        fit_experiment(store / "absent")


def test_a_run_folder_is_named_with_its_experiment_file(trained):
    with pytest.raises(StoreError, match="is a run folder, not a feature store") as caught:
        fit_experiment(trained)
    assert caught.value.hint == f"its experiment file is {trained / 'config.yaml'}"


def test_the_expected_time_counts_steps_seeds_and_folds(store, monkeypatch):
    times = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(times)))
    experiment = fit_experiment(store, ["train.epochs=10", "train.threads=1", "model.options.width=4"])
    steps = 10 * 3  # 18 training clips in batches of 8
    one = expected_seconds(experiment, [0])
    assert one % steps == 0
    assert expected_seconds(experiment, [0, 1]) == 2 * one
    with pytest.raises(ModelError, match="does not take inputs"):
        expected_seconds(fit_experiment(store, ["model.options.in_channels=1"]), [0])


def test_steps_that_are_only_timed_leave_the_generators_of_torch_alone(store):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    expected_seconds(fit_experiment(store, ["train.threads=1", "model.options.width=4"]), [0])
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_the_verb_trains_a_store_with_fitting_settings(tmp_path):
    make_store(tmp_path / "store")
    options = ["train.epochs=1", "train.threads=1", "model.options.width=4", "--out", tmp_path / "run"]
    done = run_cli("train", tmp_path / "store", *options)
    assert done.code == 0, done.err
    assert ": cp_resnet of width 4 on 18 clips, tested on 6 others\n" in done.err
    assert "1 epoch per seed; expected time in all: less than a minute" in done.err
    assert RunFolder(tmp_path / "run").experiment.model.options["in_channels"] == 2
    again = run_cli("train", tmp_path / "store", *options)
    assert "expected time" not in again.err
    from_its_file = run_cli("train", tmp_path / "run" / "config.yaml", "--out", tmp_path / "run")
    assert from_its_file.code == 0, from_its_file.err
