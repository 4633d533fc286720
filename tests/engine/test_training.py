"""Training into a run folder: its files, interruptions, continuing, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from helpers.data import write_experiment
from helpers.engine import train_run
from helpers.warm import warm_command_line

from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.checks import require_fitting
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop import trainer as trainer_module
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import ConfigError, DamagedFileError, DataError, InterruptedRun, NonFiniteError, RunError
from asc_mrkd.methods import load_experiment
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.runs import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ce_run(store, tmp_path_factory) -> Path:
    """A run folder of the same experiment with cross-entropy alone; not to be changed."""
    folder = tmp_path_factory.mktemp("ce")
    return train_run(write_experiment(folder / "conf.yaml", store), folder / "run", "method=ce")


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of the trained run folder."""
    return shutil.copytree(trained, tmp_path / "run")


def weights(out: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / f"seed{seed}" / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def without_clock(records: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records]


def test_run_folder_is_complete(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", seeds=(0, 1))
    files = {"README.md", "config.yaml", "environment.json", "metrics.jsonl"}
    assert {p.name for p in out.iterdir()} == {*files, "seed0", "seed1"}
    assert {p.name for p in (out / "seed1").iterdir()} == {
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "model.safetensors",
        "model.safetensors.sha256",
        "predictions.csv",
        "predictions.csv.sha256",
        "settings.json",
    }
    records = lines(out)
    assert [(r["seed"], r["epoch"]) for r in records] == [(s, e) for s in (0, 1) for e in range(1, 7)]
    assert [r["epoch"] for r in records if r["seed"] == 0 and "test_accuracy" in r] == [2, 4, 6]
    assert records[5]["step"] == 6 * 4
    assert not same(weights(out, 0), weights(out, 1))
    table = pd.read_csv(out / "seed0" / "predictions.csv")
    assert len(table) == 6
    np.testing.assert_allclose(table[["bus", "park", "tram"]].sum(axis=1), 1, atol=1e-9)
    assert (table["label"] == table["prediction"]).mean() == pytest.approx(records[5]["test_accuracy"])


def test_it_learns(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", "method=ce", "train.epochs=25", "augment.mixup=0")
    assert lines(out)[-1]["test_accuracy"] >= 0.8
    assert lines(out)[-1]["loss"] < lines(out)[0]["loss"]


@pytest.mark.parametrize(
    ("method", "mixup"),
    [
        ("{name: mrkd, interval: 5}", 0.3),
        ("{name: mrkd, interval: 5, teachers: replay}", 0),
        ("{name: mrkd, interval: 2 epochs, teachers: repeat}", 0.3),
    ],
)
def test_interrupted_run_continues_to_the_same_bits(conf, tmp_path, method, mixup):
    options = f"method={method}", f"augment.mixup={mixup}"
    whole = train_run(conf, tmp_path / "whole", *options)
    for stop_after in (1, 3, 3, 6):  # steps of each part
        with pytest.raises(InterruptedRun):
            train_run(conf, tmp_path / "cut", *options, stop_after=stop_after)
    cut = train_run(conf, tmp_path / "cut", *options)
    assert same(weights(whole), weights(cut))
    assert without_clock(lines(whole)) == without_clock(lines(cut))
    assert (whole / "seed0/predictions.csv").read_bytes() == (cut / "seed0/predictions.csv").read_bytes()


def test_all_seeds_of_a_run_have_the_precision_that_it_began_in(conf, tmp_path, monkeypatch):
    auto = "train.precision=auto"
    has_bfloat16 = "asc_mrkd.engine.checks.has_fast_bfloat16"
    monkeypatch.setattr(has_bfloat16, lambda device: True)
    whole = train_run(conf, tmp_path / "whole", auto, seeds=(0, 1))
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "cut", auto, stop_after=5)
    assert RunFolder(tmp_path / "cut").experiment.train.precision == "bfloat16"
    monkeypatch.setattr(has_bfloat16, lambda device: False)  # as on a machine of another kind
    with pytest.warns(UserWarning, match="is trained in bfloat16, also here, where it is slow"):
        cut = train_run(conf, tmp_path / "cut", auto, seeds=(0, 1))
    for seed in (0, 1):
        assert same(weights(whole, seed), weights(cut, seed))
    assert not same(weights(whole), weights(train_run(conf, tmp_path / "float32", auto)))
    with pytest.raises(RunError, match=r"train\.precision is 'bfloat16' in it and 'float32' here"):
        train_run(conf, cut, "train.precision=float32")


def test_killed_run_continues_to_the_same_bits(conf, trained, tmp_path):
    command = warm_command_line("train", conf, "--out", tmp_path / "cut")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "cut" / "seed0" / "checkpoint.pt").exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert same(weights(trained), weights(tmp_path / "cut"))
    assert without_clock(lines(trained)) == without_clock(lines(tmp_path / "cut"))


def test_how_often_is_saved_or_looked_at_never_changes_a_number(conf, trained, tmp_path):
    other = train_run(conf, tmp_path / "run", "train.checkpoint_every=4", "train.evaluate_every=0")
    assert same(weights(trained), weights(other))


def test_alpha_zero_equals_cross_entropy(conf, ce_run, tmp_path):
    mrkd = train_run(conf, tmp_path / "mrkd", "method.alpha=0")
    assert same(weights(ce_run), weights(mrkd))


def test_mrkd_is_not_cross_entropy(ce_run, trained):
    assert not same(weights(ce_run), weights(trained))
    assert "kd" in lines(trained)[-1]


def test_finished_run_is_left_alone(conf, copied):
    before = {p: p.stat().st_mtime_ns for p in copied.glob("seed0/*")}
    assert before
    train_run(conf, copied)
    assert before == {p: p.stat().st_mtime_ns for p in copied.glob("seed0/*")}
    train_run(conf, copied, seeds=(0, 1))
    assert (copied / "seed1" / "model.safetensors").exists()


def test_another_experiment_is_refused_by_name(conf, copied):
    with pytest.raises(RunError, match=r"train.optimizer.lr is 0.05 in it and 0.01 here"):
        train_run(conf, copied, "train.optimizer.lr=0.01")


def test_model_file_needs_nothing_beside_it(trained):
    file = load_model(trained)
    assert file.classes == ["bus", "park", "tram"]
    assert file.frontend.name == "tiny"
    assert file.architecture["options"]["width"] == 4
    assert not any("ensemble" in name or "backups" in name for name in weights(trained))
    assert same(file.model.state_dict(), weights(trained))


def test_nan_stops_before_the_step_and_names_the_place(conf, trained, tmp_path, monkeypatch):
    original = trainer_module.training_batch

    def poisoned(samples, key, *rest):
        batch = original(samples, key, *rest)
        if key.epoch.number == 2:
            batch.x[0, 0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(trainer_module, "training_batch", poisoned)
    with pytest.raises(NonFiniteError, match=r"seed 0, epoch 3, step 9: .*inputs"):
        train_run(conf, tmp_path / "run")
    monkeypatch.undo()
    again = train_run(conf, tmp_path / "run")
    assert same(weights(again), weights(trained))


def test_damaged_model_file_is_named(copied):
    path = copied / "seed0" / "model.safetensors"
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
            load_model(path)
    for content in (b"", whole[:100], whole[:-1], b"not a model"):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError):
            load_model(path)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_and_memory_format_train(conf, tmp_path, precision):
    out = train_run(
        conf, tmp_path / "run", f"train.precision={precision}", "train.channels_last=true", "train.epochs=3"
    )
    assert all(np.isfinite(r["loss"]) for r in lines(out))
    assert all(t.dtype in (torch.float32, torch.int64) for t in weights(out).values())


def test_unknown_device_is_named(conf, tmp_path):
    with pytest.raises(ConfigError, match="device=cuda:99"):
        train_run(conf, tmp_path / "run", "train.device=cuda:99")


def test_a_method_is_checked_and_built_for_the_cut_inputs(conf, monkeypatch):
    """A clip has 32 frames, of which training sees 24."""
    checked = []
    monkeypatch.setattr(CrossEntropy, "check_network", lambda options, network, shape: checked.append(shape))
    experiment = load_experiment(conf, ["method=ce"])
    source = open_data(experiment.data)
    require_fitting(experiment, source)
    trainer = Trainer(experiment, 0, source.load(torch.device("cpu")).train, 3)
    assert [trainer.training_shape, *checked] == [(2, 24, 24)] * 2


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([0, 0], "0 appears twice"), ([-1], "greater than or equal to 0"), ([], "at least 1 item")],
)
def test_seeds_that_cannot_be_kept_are_refused_before_anything_is_written(conf, tmp_path, seeds, message):
    with pytest.raises(ConfigError, match=message):
        train_run(conf, tmp_path / "run", "method=ce", seeds=seeds)
    assert not (tmp_path / "run").exists()


def test_a_class_that_is_called_like_a_column_of_the_predictions_is_refused_before_the_training(
    images, image_conf, tmp_path
):
    folder = shutil.copytree(images, tmp_path / "images")
    for split in ("train", "test"):
        (folder / split / "apple").rename(folder / split / "label")
    with pytest.raises(DataError, match="a class cannot be called 'label', because predictions"):
        train_run(image_conf, tmp_path / "run", f"data.images={folder}")
    assert not (tmp_path / "run").exists()


def test_the_environment_names_the_threads_that_compute(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", "method=ce", "train.epochs=1", "train.threads=3")
    assert json.loads((out / "environment.json").read_text())["threads"] == 3


def test_threads_take_turns_and_the_generators_stay(conf, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build(num_classes, in_channels=2):\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(in_channels, 4, 3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "        nn.Linear(4, num_classes))\n"
    )
    options = (f"model={{name: '{tmp_path}/net.py:build'}}", "method=ce", "train.epochs=3", "train.threads=1")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with torch.no_grad():  # as in a notebook that only predicts otherwise
        alone = weights(train_run(conf, tmp_path / "alone", *options))
    assert torch.equal(torch.rand(1), expected)
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda name: train_run(conf, tmp_path / name, *options), ("first", "second")))
    assert all(same(weights(run), alone) for run in runs)
