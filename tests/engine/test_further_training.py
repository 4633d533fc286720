"""Training that goes on from a trained network, with the clips of some devices or of a list."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.engine import train_run

from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.fitting import describe_fit, fit_experiment
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import ConfigError, DataError, InterruptedRun, RunError
from asc_mrkd.methods import load_experiment
from asc_mrkd.runs import RunFolder, read_predictions
from asc_mrkd.store.layout import open_store

CPU = torch.device("cpu")
SHORT = "method=ce", "train.epochs=2", "train.evaluate_every=0", "train.threads=1"


@pytest.fixture
def two_devices(store, tmp_path):
    """A copy of the small store whose clips of Paris are of device b."""
    folder = shutil.copytree(store, tmp_path / "store")
    table = pd.read_csv(folder / "clips.csv")
    table["source_label"] = np.where(table["identifier"].str.startswith("paris"), "b", "a")
    table.to_csv(folder / "clips.csv", index=False)
    sums = folder / "SHA256SUMS"
    if sums.exists():
        lines = [line.split("  ") for line in sums.read_text().splitlines()]
        digests = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for _, name in lines]
        sums.write_text("\n".join(digests) + "\n")
    return folder


def test_the_first_weights_are_those_of_the_trained_network(conf, trained):
    experiment = load_experiment(conf, [*SHORT, f"train.start={trained}"])
    samples = open_data(experiment.data).load(CPU).train
    student = Trainer(experiment, 5, samples, 3).student.state_dict()
    expected = load_model(trained).model.state_dict()
    assert all(torch.equal(student[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_a_stopped_run_ends_in_the_same_bits_and_knows_its_start(conf, trained, tmp_path):
    start = shutil.copy(trained / "seed0/model.safetensors", tmp_path / "start.safetensors")
    overrides = [*SHORT, f"train.start={start}"]
    whole = train_run(conf, tmp_path / "whole", *overrides)
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "parts", *overrides, stop_after=5)
    moved = shutil.move(start, tmp_path / "moved.safetensors")
    parts = train_run(conf, tmp_path / "parts", *SHORT, f"train.start={moved}")
    name = "seed0/model.safetensors"
    assert (parts / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(RunError, match=r"train\.start_digest is"):
        train_run(conf, parts, *SHORT, f"train.start={whole}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.options.width=6", "has other options than the student"),
        ("model={name: cp_mobile, options: {in_channels: 2}}", "its name is cp_resnet instead of cp_mobile"),
        ("data.folds=2", "may have been trained with the test clips of a fold"),
        ("train.prune={amount: 0.5, ramp_epochs: 1}", "start and prune do not go together"),
    ],
)
def test_another_network_is_refused(conf, trained, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        train_run(conf, tmp_path / "run", *SHORT, f"train.start={trained}", override)
    assert not (tmp_path / "run").exists()


def test_the_clips_of_one_device_train_and_test_with_the_statistics_of_all(conf, two_devices, tmp_path):
    every = open_data(load_experiment(conf, [f"data.store={two_devices}"]).data).load(CPU)
    overrides = [f"data={{store: {two_devices}, devices: [b]}}", *SHORT]
    train, test = open_data(load_experiment(conf, overrides).data).load(CPU)
    for part, whole in ((train, every.train), (test, every.test)):
        assert set(part.table["source_label"]) == {"b"}
        assert len(part) == (whole.table["source_label"] == "b").sum()
        assert torch.equal(part.mean, whole.mean)
    out = train_run(conf, tmp_path / "run", *overrides)
    predictions = read_predictions(RunFolder(out).seed_folder(0).predictions)
    assert set(predictions.table["source_label"]) == {"b"}
    assert f"| splits | {len(train)} train, {len(test)} test" in (out / "README.md").read_text()
    with pytest.raises(DataError, match="no usable test clips of b in fold 1") as caught:
        open_data(load_experiment(conf, [f"data={{store: {two_devices}, devices: [b], folds: 8}}"]).data)
    assert caught.value.hint == f"asc-mrkd check-data {two_devices} names what is wrong"
    with pytest.raises(DataError, match="no clip of a recording device 's9'") as caught:
        train_run(conf, tmp_path / "none", f"data={{store: {two_devices}, devices: [b, s9]}}", *SHORT)
    assert caught.value.hint == "known: a, b"


def test_a_list_chooses_the_training_clips(conf, store, tmp_path):
    opened = open_store(store)
    rows = opened.rows("train")
    chosen = sorted(rows["filename"])[::2]
    path = tmp_path / "split50.csv"
    path.write_text("\n".join(["filename\tscene_label", *(f"{name}\tbus" for name in chosen)]) + "\n")
    data = open_data(load_experiment(conf, [f"data={{store: {store}, train_list: {path}}}"]).data)
    train, test = data.load(CPU)
    every = open_data(load_experiment(conf).data)
    assert sorted(train.table["filename"]) == chosen
    fitted = fit_experiment(store, [f"data.train_list={path}"])
    assert describe_fit(fitted).endswith(f"on {len(chosen)} clips, tested on {len(test)} others")
    assert len(test) == len(every.load(CPU).test)
    assert data.digest != every.digest
    mean, _ = opened.statistics_of(rows.loc[rows["filename"].isin(chosen), "row"].to_numpy())
    np.testing.assert_array_equal(train.mean.flatten().numpy(), mean.astype(np.float32))
    fold_of_list = load_experiment(conf, [f"data={{store: {store}, train_list: {path}, folds: 2, fold: 1}}"]).data
    train, test = open_data(fold_of_list).load(CPU)
    tested = set(test.table["filename"])
    assert sorted(train.table["filename"]) == [name for name in chosen if name not in tested]
    assert not tested <= set(chosen)
    path.write_text("\n".join(["filename", *tested]) + "\n")
    with pytest.raises(DataError, match="no usable train clips in fold 1"):
        open_data(fold_of_list).load(CPU)
    path.write_text("filename\nnowhere.wav\n")
    with pytest.raises(DataError, match=r"1 of 1 names are not those of training clips .* first nowhere\.wav"):
        open_data(load_experiment(conf, [f"data={{store: {store}, train_list: {path}}}"]).data)
