"""MemoryReplay says once when the loop around it lets it do nothing."""

import warnings

import pytest
import torch
from helpers.methods import make_context
from helpers.mrkd import make_batch, make_network, train_replay

from asc_mrkd.config import MethodConfig
from asc_mrkd.errors import ConfigError, NonFiniteError
from asc_mrkd.methods import build_method
from asc_mrkd.mrkd import Backups, MemoryReplay


def loop(mrkd, optimizer, steps=6, calls_step=True):
    """Train on some batches and return the warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(steps):
            optimizer.zero_grad()
            mrkd(*make_batch(seed=number)).total.backward()
            optimizer.step()
            if calls_step:
                mrkd.step()
    return told


@pytest.mark.parametrize("how", [{}, {"foreach": True}, {"fused": True}])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_f1_9_a_right_loop_is_left_alone(name, how):
    mrkd = MemoryReplay(make_network(), 3, interval=2, total_steps=6)
    assert not loop(mrkd, getattr(torch.optim, name)(mrkd.parameters(), lr=1e-4, **how))


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"ensemble": False}, {"snapshot_source": "ema"}])
def test_f1_9_a_loop_with_fewer_parts_is_left_alone(options):
    mrkd = MemoryReplay(make_network(), 3, interval=2, total_steps=6, **options)
    assert not loop(mrkd, torch.optim.SGD(mrkd.parameters(), lr=1e-4))


def test_f1_9_an_interval_beyond_the_run_is_told_once():
    with pytest.warns(UserWarning, match="run of 1000 steps ends before the first backup, with an interval of 9775"):
        MemoryReplay(make_network(), 3, interval=9775, total_steps=1000)
    with pytest.warns(UserWarning, match="the untrained copies teach to the end"):
        MemoryReplay(make_network(), 3, interval=9775, total_steps=1000, warmup="untrained")
    with pytest.warns(UserWarning, match="run of 4 steps ends before the first backup") as told:
        build_method(MethodConfig(name="mrkd", interval=50), make_network(), make_context(4))
    assert len(told) == 1
    assert told[0].message.args[0].startswith("MemoryReplay: ")


def test_f1_9_without_interval_the_length_of_the_run_decides():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MemoryReplay(make_network(), 3, total_steps=80).interval == 10
        assert MemoryReplay(make_network(), 3, interval=0.5, total_steps=80).interval == 40
        assert MemoryReplay(make_network(), 3, interval="2 epochs", steps_per_epoch=7).interval == 14
        assert MemoryReplay(make_network(), 3, interval=9775).interval == 9775
    with pytest.warns(UserWarning, match=r"first backup is stored before step 9775: give total_steps=") as told:
        assert MemoryReplay(make_network(), 3).interval == 9775
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0.125}, r"interval=0\.125\): 0\.125 is a share of the run, which needs total_steps="),
        ({"interval": "25 epochs"}, r'"25 epochs" needs steps_per_epoch='),
        ({"interval": 1.5, "total_steps": 80}, "write steps as 9775"),
        ({"interval": 1.0, "total_steps": 80}, "write 1 for every step"),
        ({"interval": "often"}, "write steps as 9775"),
        ({"interval": True}, "write steps as 9775"),
        ({"interval": float("nan")}, "write steps as 9775"),
        ({"total_steps": 0}, "total_steps=0"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"alpha": float("nan")}, "alpha=nan"),
    ],
)
def test_f1_9_an_interval_is_never_silently_wrong(options, message):
    with pytest.raises(ConfigError, match=message):
        MemoryReplay(make_network(), 3, **options)


def test_f1_9_forgotten_step_is_told_once():
    mrkd = MemoryReplay(make_network(), 3, interval=2)
    told = loop(mrkd, torch.optim.SGD(mrkd.parameters(), lr=0.1), steps=9, calls_step=False)
    assert [str(one.message) for one in told] == [
        "MemoryReplay: the weights change, but mrkd.step() is not called after optimizer.step(): no backup is stored"
    ]
    assert told[0].filename == __file__


def test_f1_9_passes_without_a_step_are_no_fault():
    mrkd = MemoryReplay(make_network(), 3, interval=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(6):
            mrkd(*make_batch(seed=number)).total.backward()  # gradients are summed up, or a loss is only looked at


def test_an_optimiser_that_changes_the_weights_several_times_per_step_is_left_alone():
    mrkd = MemoryReplay(make_network(), 3, interval=2)
    optimizer = torch.optim.LBFGS(mrkd.parameters(), lr=1e-3, max_iter=5)

    def closure():
        optimizer.zero_grad()
        loss = mrkd(*make_batch()).total
        loss.backward()
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            optimizer.step(closure)
            mrkd.step()
    assert mrkd.steps == 3


def test_a_forgotten_step_is_told_where_the_optimiser_calls_a_closure():
    mrkd = MemoryReplay(make_network(), 3, interval=2)
    optimizer = torch.optim.SGD(mrkd.parameters(), lr=1e-3)

    def closure():
        optimizer.zero_grad()
        loss = mrkd(*make_batch()).total
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.step(closure)
    with pytest.warns(UserWarning, match=r"mrkd\.step\(\) is not called"):
        optimizer.step(closure)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_f1_9_an_optimiser_without_the_ensemble_is_told_once(name):
    mrkd = MemoryReplay(make_network(), 3, interval=2)
    told = loop(mrkd, getattr(torch.optim, name)(mrkd.model.parameters(), lr=1e-4), steps=9)
    assert [str(one.message) for one in told] == [
        "MemoryReplay: the optimiser does not train the ensemble of the backups: "
        "give it mrkd.parameters(), not model.parameters()"
    ]
    assert told[0].filename == __file__


def test_f1_9_skipped_steps_say_nothing_of_the_ensemble():
    mrkd = MemoryReplay(make_network(), 3, interval=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(4):  # as a gradient scaler skips the first steps
            mrkd(*make_batch(seed=number)).total.backward()
            mrkd.step()
        train_replay(mrkd, 3)


def test_f1_7_a_backup_that_is_not_finite_is_refused():
    model = make_network()
    ring = Backups(model, 2)
    ring.push(model)
    good = ring[0]["0.weight"].clone()
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"'0\.weight' of the student is not finite: no backup"):
        ring.push(model)
    assert ring.filled == 1
    assert torch.equal(ring[0]["0.weight"], good)
