"""The teachers of MrKD in the engine: inputs that come back, and what does not go together."""

import copy
from pathlib import Path

import pytest
import torch

from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import load_experiment
from asc_mrkd.mrkd.teachers import constant_weights

pytestmark = pytest.mark.slow


def make_trainer(conf: Path, method: str, *overrides: str) -> Trainer:
    experiment = load_experiment(conf, [f"method={method}", *overrides])
    samples, _ = open_data(experiment.data).load(torch.device("cpu"))
    return Trainer(experiment, 0, samples, 3)


def losses_of(trainer: Trainer) -> list[float]:
    """Return the mean loss of each epoch of a run."""
    records = []
    while trainer.epoch < trainer.epochs:
        records.append(trainer.train_epoch(lambda amount, note: None, lambda: False))
    return [record["loss"] for record in records]


def test_repeat_is_exact_for_the_same_schedule(conf):
    """Order, augmentation and Mixup of epoch e are those of epoch e - 2."""
    repeat = make_trainer(conf, "{name: mrkd, interval: 2 epochs, teachers: repeat, num_backups: 2}")
    exact = make_trainer(conf, "{name: mrkd, interval: 2 epochs, num_backups: 2}")
    exact.method.period = 2
    assert repeat.method.period == 2
    losses = losses_of(repeat)
    assert losses == pytest.approx(losses_of(exact), rel=1e-4)
    assert losses[4:] != pytest.approx(losses_of(make_trainer(conf, "{name: mrkd, interval: 2 epochs}"))[4:], rel=1e-4)


def test_cached_is_exact_without_augmentation(conf):
    options = "interval: 5, num_backups: 2, preset: paper"
    plain = "augment={}"
    cached = make_trainer(conf, f"{{name: mrkd, {options}, teachers: cached}}", plain)
    assert losses_of(cached) == pytest.approx(
        losses_of(make_trainer(conf, f"{{name: mrkd, {options}}}", plain)), rel=1e-4
    )


@pytest.mark.parametrize("teachers", ["exact", "repeat"])
def test_steps_are_undone_though_the_kept_state_shares_the_weights_of_the_backups(conf, teachers):
    trainer = make_trainer(conf, f"{{name: mrkd, interval: 1 epochs, teachers: {teachers}}}")
    trainer.train_epoch(lambda amount, note: None, lambda: False)
    kept = trainer._copied_state()
    states = kept["method"]["replay.teachers.backups._extra_state"]["states"]
    shared = {weight.data_ptr() for weight in constant_weights(trainer.method)}
    assert shared <= {tensor.data_ptr() for state in states for tensor in state.values()}
    whole = copy.deepcopy(kept)
    expected = losses_of(trainer)
    torch.testing.assert_close(kept, whole, rtol=0, atol=0)
    trainer.load_state_dict(kept)
    assert losses_of(trainer) == expected


@pytest.mark.parametrize(
    ("method", "augment", "message"),
    [
        ("teachers: replay", "{mixup: 0.2}", "other mixtures than augment.mixup makes"),
        ("teachers: cached, teacher_bn: eval", "{mixup: 0.2}", "the same inputs in every epoch, which augment.mixup"),
        ("teachers: cached, teacher_bn: eval", "{crop_frames: 20}", "which augment.crop_frames changes"),
        ("teachers: cached, teacher_bn: eval", "{roll_frames: 2}", "which augment.roll_frames changes"),
        ("teachers: cached, teacher_bn: batch", "{}", "cached does not go with teacher_bn=batch"),
        ("teachers: replay, preset: paper", "{}", "replay does not go with teacher_bn=eval"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(conf, method, augment, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(conf, [f"method={{name: mrkd, {method}}}", f"augment={augment}"])
