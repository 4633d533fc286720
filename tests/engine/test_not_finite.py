"""NaN and infinity: skipped for a few steps, then named; they reach no checkpoint, prediction, log or model file."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.cli import run_cli
from helpers.engine import train_run

from asc_mrkd.config import StoreConfig
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data import samples as samples_module
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.loop import trainer as trainer_module
from asc_mrkd.engine.loop.checkpoint import load_checkpoint
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.engine.training import train
from asc_mrkd.errors import InterruptedRun, NonFiniteError
from asc_mrkd.methods import load_experiment
from asc_mrkd.runs import read_metrics, read_predictions

pytestmark = pytest.mark.slow

SHORT = ("train.epochs=3", "train.evaluate_every=0", "augment.mixup=0")
"""Three epochs of four steps."""


@pytest.fixture
def poison_inputs(monkeypatch) -> Callable[[set[int]], None]:
    """Return a function: a sample of the batch is NaN in these steps, counted from 1."""

    def set_up(steps: set[int]) -> None:
        compute = Trainer._compute
        original = trainer_module.training_batch
        number = 0

        def counted(self, *keys):
            nonlocal number
            number = self.step + 1
            return compute(self, *keys)

        def poisoned(*arguments):
            batch = original(*arguments)
            if number in steps:
                batch.x[0, 0, 0, 0] = math.nan
            return batch

        monkeypatch.setattr(Trainer, "_compute", counted)
        monkeypatch.setattr(trainer_module, "training_batch", poisoned)

    return set_up


@pytest.fixture
def poison_gradients(monkeypatch) -> Callable[[set[int]], None]:
    """Return a function: the gradient of the first parameter is NaN in these steps, counted from 1."""

    def set_up(steps: set[int]) -> None:
        def poisoned(self):
            gradients = original(self)
            if self.step + 1 in steps:
                gradients[0].fill_(math.nan)
            return gradients

        original = Trainer._gradients
        monkeypatch.setattr(Trainer, "_gradients", poisoned)

    return set_up


def require_finite_files(run: Path) -> None:
    """Check everything that a run has written."""
    log = run / "metrics.jsonl"
    for line in log.read_text().splitlines() if log.exists() else []:
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in the log"))
    for path in run.glob("seed*/checkpoint*.pt"):
        for tensor in tensors_of(load_checkpoint(path)):
            assert not tensor.is_floating_point() or torch.isfinite(tensor).all(), path
    for path in run.glob("seed*/model.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in safetensors.torch.load_file(path).values())
    for path in run.glob("seed*/predictions.csv"):
        assert np.isfinite(read_predictions(path).probabilities).all()


def tensors_of(tree) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [tensor for value in tree for tensor in tensors_of(value)] if isinstance(tree, list | tuple) else []


@pytest.mark.parametrize(
    "method", ["ce", "{name: mrkd, interval: 3}", "pskd", "{name: mrkd, interval: 2, snapshot_source: ema}", "dlb"]
)
def test_f1_7_up_to_three_steps_in_a_row_are_skipped_without_a_trace(conf, tmp_path, poison_inputs, method):
    poison_inputs({1, 4, 5, 6, 9})
    run = train_run(conf, tmp_path / "run", *SHORT, f"method={method}")
    log = read_metrics(run / "metrics.jsonl")
    assert log["skipped_steps"].tolist() == [2, 2, 1]
    assert log["loss"].notna().all()
    require_finite_files(run)


@pytest.mark.parametrize("steps", [{4}, {1, 2, 3}])
def test_f1_7_a_gradient_that_is_not_finite_never_reaches_a_weight(conf, tmp_path, poison_gradients, steps):
    """The loss alone is finite; step 4 is the last one before a checkpoint."""
    poison_gradients(steps)
    require_finite_files(train_run(conf, tmp_path / "run", *SHORT, "method=ce"))


def test_f1_7_the_fourth_step_in_a_row_stops_the_training_and_names_the_first(conf, tmp_path, poison_inputs):
    poison_inputs({6, 7, 8, 9})
    done = run_cli("train", conf, *SHORT, "method=ce", "--out", tmp_path / "run", "--seeds", "0")
    assert done.code == 2
    assert "seed 0, epoch 2, step 6: the loss is nan" in done.err
    assert "at the learning rate 0.0292" in done.err
    assert "the inputs hold values that are not finite; samples: audio/" in done.err
    assert "the 3 steps after it were no better" in done.err
    assert "hint: asc-mrkd check-data" in done.err
    require_finite_files(tmp_path / "run")
    assert not (tmp_path / "run" / "seed0" / "model.safetensors").exists()
    assert load_checkpoint(tmp_path / "run" / "seed0" / "checkpoint.pt")["state"]["trainer"]["epoch"] == 2


def test_f1_7_the_layer_is_named(conf, tmp_path, poison_gradients):
    poison_gradients({1, 2, 3, 4})
    with pytest.raises(
        NonFiniteError, match=r"step 1: the loss is \d.*the gradient of '\S+' is not finite; samples: "
    ) as caught:
        train_run(conf, tmp_path / "run", *SHORT, "method=ce")
    assert "another --out and a lower train.optimizer.lr" in caught.value.hint


def test_f1_7_a_rate_that_is_far_too_high_ends_without_a_number(conf, tmp_path):
    experiment = load_experiment(conf, ["method=ce", "train.epochs=1", "train.optimizer={lr: 1e20, weight_decay: 1e6}"])
    with pytest.raises(NonFiniteError, match="the weights have diverged") as caught:
        train(experiment, tmp_path / "run", [0])
    assert "lower train.optimizer.lr" in caught.value.hint
    assert not list((tmp_path / "run").glob("seed0/*"))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_f1_7_weights_that_give_no_probabilities_are_named(store):
    samples = samples_module.open_data(StoreConfig(store=str(store))).load(torch.device("cpu")).test
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(3))
    network(samples.gather(slice(0, 1)).float())
    torch.nn.init.constant_(network[1].weight, math.inf)
    with pytest.raises(
        NonFiniteError, match=r"no probabilities for 6 of 6 samples, .*the weights have diverged"
    ) as caught:
        predict(network, samples)
    assert "lower train.optimizer.lr" in caught.value.hint


def test_f1_7_a_test_row_that_is_not_finite_is_named(conf, tmp_path, monkeypatch):
    original = samples_module._load_store

    def with_nan(*arguments):
        data = original(*arguments)
        inputs = data.test.gather(slice(None)).clone()
        inputs[2, 0, 0, 0] = math.nan
        return data._replace(test=replace(data.test, gather=lambda where: inputs[where]))

    monkeypatch.setattr(samples_module, "_load_store", with_nan)
    done = run_cli("train", conf, *SHORT, "method=ce", "--out", tmp_path / "run", "--seeds", "0")
    assert done.code == 2
    assert "gives no probabilities for 1 of 6 samples, the first is audio/park-vienna-6-6-a.wav" in done.err
    assert "whose values are not finite" in done.err
    assert "hint: asc-mrkd check-data" in done.err
    require_finite_files(tmp_path / "run")
    assert not (tmp_path / "run" / "seed0" / "predictions.csv").exists()


def test_skipped_steps_are_the_same_after_an_interruption(conf, tmp_path, poison_inputs):
    poison_inputs({2, 6, 7})
    whole = train_run(conf, tmp_path / "whole", *SHORT, "method=mrkd")
    for stop in (2, 3):
        with pytest.raises(InterruptedRun):
            train_run(conf, tmp_path / "cut", *SHORT, "method=mrkd", stop_after=stop)
    cut = train_run(conf, tmp_path / "cut", *SHORT, "method=mrkd")
    for name in ("model.safetensors", "predictions.csv"):
        assert (cut / "seed0" / name).read_bytes() == (whole / "seed0" / name).read_bytes()
    assert load_model(cut)


def test_a_look_at_the_end_of_a_block_gives_the_same_as_one_after_every_step(
    conf, tmp_path, poison_inputs, monkeypatch
):
    """A GPU is waited for after many steps only: the steps since then are repeated."""
    poison_inputs({2, 6, 7})
    every = train_run(conf, tmp_path / "every", *SHORT, "method=mrkd")
    monkeypatch.setattr(trainer_module, "is_parallel", lambda: True)  # as processes that look together do
    at_the_end = train_run(conf, tmp_path / "end", *SHORT, "method=mrkd")
    assert (every / "seed0/model.safetensors").read_bytes() == (at_the_end / "seed0/model.safetensors").read_bytes()
