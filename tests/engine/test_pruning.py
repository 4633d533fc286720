"""Pruning during training: the masks, their ramp, and continuing."""

import copy
import json
import math

import pytest
import safetensors.torch
import torch
from helpers.engine import train_run

from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import ConfigError, InterruptedRun
from asc_mrkd.methods import load_experiment
from asc_mrkd.models.pruning import set_masks

pytestmark = pytest.mark.slow

PRUNED = "train.prune={amount: 0.5, ramp_epochs: 3}", "augment.mixup=0"


def convolutions(out) -> list[torch.Tensor]:
    tensors = safetensors.torch.load_file(out / "seed0" / "model.safetensors")
    return [tensor for tensor in tensors.values() if tensor.dim() == 4]


@pytest.mark.parametrize("method", ["ce", "{name: mrkd, interval: 5}", "{name: ban, generations: 2}"])
def test_half_of_the_weights_are_gone_and_a_stop_changes_nothing(conf, tmp_path, method):
    whole = train_run(conf, tmp_path / "whole", f"method={method}", *PRUNED)
    total = sum(tensor.numel() for tensor in convolutions(whole))
    pruned = sum(int((tensor == 0).sum()) for tensor in convolutions(whole))
    assert pruned == round(0.5 * (total - 1))
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "cut", f"method={method}", *PRUNED, stop_after=10)
    cut = train_run(conf, tmp_path / "cut", f"method={method}", *PRUNED)
    assert all(map(torch.equal, convolutions(whole), convolutions(cut)))
    names = safetensors.torch.load_file(whole / "seed0" / "model.safetensors").keys()
    assert not any("parametrizations" in name for name in names)


def test_masks_of_a_first_epoch_are_those_of_its_own_generation(conf):
    prune = "train.prune={amount: 0.95, ramp: exp, ramp_epochs: 1}"
    experiment = load_experiment(conf, ["method={name: ban, generations: 2}", "train.epochs=2", prune])
    trainer = Trainer(experiment, 0, open_data(experiment.data).load(torch.device("cpu")).train, 3)
    for _ in range(2):
        trainer.train_epoch(lambda *_: None, lambda: False)
    before = copy.deepcopy(trainer.student)
    trainer.train_epoch(lambda *_: None, lambda: True)  # one step of the second generation
    masks = [mask for name, mask in trainer.student.named_buffers() if name.endswith(".mask")]
    total = sum(mask.numel() for mask in masks)
    assert sum(int((mask == 0).sum()) for mask in masks) == round(0.95 * math.exp(-1) * (total - 1))
    set_masks(before, 0.95 * math.exp(-1))
    former = [mask for name, mask in before.named_buffers() if name.endswith(".mask")]
    assert not all(map(torch.equal, masks, former))


def test_no_pruning_by_a_factor_of_nothing(conf, tmp_path):
    dense = train_run(conf, tmp_path / "dense", "method=ce")
    masked = train_run(conf, tmp_path / "masked", "method=ce", "train.prune={amount: 0, ramp_epochs: 3}")
    assert all(map(torch.equal, convolutions(dense), convolutions(masked)))
    logs = [json.loads((out / "metrics.jsonl").read_text().splitlines()[-1]) for out in (dense, masked)]
    assert logs[0]["loss"] == logs[1]["loss"]


@pytest.mark.parametrize(
    ("prune", "message"),
    [
        ("{amount: 0.5, keep: 100}", "either amount or keep"),
        ("{ramp_epochs: 3}", "either amount or keep"),
        ("{amount: 0.5, ramp_epochs: 50}", "before the last"),
        ("{amount: 1.5}", "amount"),
    ],
)
def test_settings_that_do_not_fit(conf, tmp_path, prune, message):
    with pytest.raises(ConfigError, match=message):
        train_run(conf, tmp_path / "run", f"train.prune={prune}")
    assert not (tmp_path / "run").exists()
