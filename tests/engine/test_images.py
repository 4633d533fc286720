"""Training on images: every method, the same bits after a stop, and several seeds at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from helpers.engine import train_run
from PIL import Image

from asc_mrkd.config import ImagesConfig
from asc_mrkd.datasets.images import open_images
from asc_mrkd.deploy import Predictor
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import ConfigError, DataError, InterruptedRun, ModelError, RunError
from asc_mrkd.methods import METHODS as REGISTRY

pytestmark = pytest.mark.slow

METHODS = [
    *(name for name, row in REGISTRY.items() if not row.needs_teachers),
    "{name: pskd, source: model}",
    "{name: mrkd, preset: paper}",
]
CPU = torch.device("cpu")


def content(out: Path, seed: int = 0) -> tuple[bytes, bytes]:
    """Return the files of a finished seed: weights and predictions."""
    here = out / f"seed{seed}"
    return (here / "model.safetensors").read_bytes(), (here / "predictions.csv").read_bytes()


def records(out: Path, seed: int) -> list[dict]:
    """Return the log of a seed without the clock."""
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    clock = ("seconds", "samples_per_second")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines if line["seed"] == seed]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_a_stopped_run_ends_in_the_same_bits(image_conf, tmp_path, method):
    epochs = 12 if method == "ban" else 6  # ban divides them among its generations
    options = f"method={method}", f"train.epochs={epochs}"
    whole = train_run(image_conf, tmp_path / "whole", *options)
    assert records(whole, 0)[-1]["test_accuracy"] > 0.6  # chance is 1/3
    for steps in (3, 7):  # to the middle of the first epoch of five steps, to the end of the second
        with pytest.raises(InterruptedRun):
            train_run(image_conf, tmp_path / "parts", *options, stop_after=steps)
    parts = train_run(image_conf, tmp_path / "parts", *options)
    assert content(parts) == content(whole)
    assert records(parts, 0) == records(whole, 0)
    kept = safetensors.torch.load_file(whole / "seed0" / "model.safetensors")
    assert kept.keys() == load_model(whole).model.state_dict().keys(), "only the student is kept"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_mixup_and_bfloat16_or_says_why_not(image_conf, tmp_path, method):
    options = "train.precision=bfloat16", "train.epochs=2"
    if method == "pskd":
        with pytest.raises(ConfigError, match=r"which augment\.mixup mixes again"):
            train_run(image_conf, tmp_path / "run", "method=pskd", "augment.mixup=0.3", *options)
    mixup = "augment.mixup=0" if method == "pskd" else "augment.mixup=0.3"
    out = train_run(image_conf, tmp_path / "run", f"method={method}", mixup, *options)
    assert np.isfinite(records(out, 0)[-1]["loss"])


def test_a_network_that_does_not_take_the_data_is_refused_at_once(image_conf, tmp_path):
    with pytest.raises(ModelError, match="does not take inputs of 3 x 12 x 12") as error:
        train_run(image_conf, tmp_path / "run", "model.options.in_channels=1")
    assert error.value.hint == "model.options.in_channels=3"
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiled_training_gives_the_same_network_within_rounding(image_conf, tmp_path):
    options = "train.epochs=1", "train.batch_size=12"  # batches of one size are compiled once
    plain = train_run(image_conf, tmp_path / "plain", *options)
    compiled = train_run(image_conf, tmp_path / "compiled", *options, "train.compile=true")
    first, second = (load_model(out).model.state_dict() for out in (plain, compiled))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-3, rtol=1e-3)


def test_statistics_are_those_of_the_training_images(images):
    train_samples, test = open_data(ImagesConfig(images=str(images))).load(CPU)
    pixels = open_images(images).splits["train"].pixels.astype(np.float64)
    expected = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    for samples in (train_samples, test):
        for ours, theirs in zip((samples.mean, samples.std), expected, strict=True):
            np.testing.assert_allclose(ours.numpy().ravel(), theirs, rtol=1e-6)


def test_held_out_images_are_not_trained_on(images):
    whole, _ = open_data(ImagesConfig(images=str(images))).load(CPU)
    rest, out = open_data(ImagesConfig(images=str(images), held_out=12)).load(CPU)
    assert out.table["label"].value_counts().to_list() == [4, 4, 4]
    assert set(rest.table["filename"]) | set(out.table["filename"]) == set(whole.table["filename"])
    assert len(rest) + len(out) == len(whole)
    row = whole.table["filename"].tolist().index(out.table["filename"][0])
    assert torch.equal(out.gather(slice(0, 1)), whole.gather(slice(row, row + 1)))


def test_a_subset_is_balanced_and_always_the_same(images):
    first, second = (open_data(ImagesConfig(images=str(images), subset=15)).load(CPU)[0] for _ in range(2))
    assert first.table.equals(second.table)
    assert first.table["label"].value_counts().to_list() == [5, 5, 5]


def test_a_split_that_is_not_there_is_named(images):
    with pytest.raises(DataError, match="no split 'valid'"):
        open_data(ImagesConfig(images=str(images), train="train+valid"))


def test_another_subset_is_another_experiment(image_conf, tmp_path):
    train_run(image_conf, tmp_path / "run", "train.epochs=1")
    with pytest.raises(RunError, match=r"data\.subset"):
        train_run(image_conf, tmp_path / "run", "train.epochs=1", "data.subset=15")


def test_the_model_file_tells_the_class_of_a_picture(image_conf, images, tmp_path):
    out = train_run(image_conf, tmp_path / "run", "train.epochs=2")
    predictor = Predictor(out)
    table = pd.read_csv(out / "seed0" / "predictions.csv").set_index("filename")
    for name in ("test/apple/0.png", "test/chair/5.png"):
        of_run = table.loc[name, predictor.classes].to_numpy(dtype=float)
        np.testing.assert_allclose(predictor.predict_file(images / name), of_run, atol=1e-6)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="is not a picture"):
        predictor.predict_file(tmp_path / "text.png")
    Image.fromarray(np.full((32, 32), 4096, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        predictor.predict_file(tmp_path / "deep.png")
