"""Trackers: they get the metrics of the log, also of a training that continues; what is missing is named."""

import json
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from helpers.cli import run_cli

from asc_mrkd.engine.tracking import NOT_SHOWN, require_trackers
from asc_mrkd.engine.training import train
from asc_mrkd.errors import ConfigError, InterruptedRun, MissingExtraError
from asc_mrkd.methods import load_experiment


@pytest.fixture
def recorded(monkeypatch) -> list[tuple[Any, ...]]:
    """The calls of stand-ins for TensorBoard's writer and for trackio."""
    calls: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder, purge_step):
            calls.append(("open", folder, purge_step))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def flush(self): ...

        def close(self):
            calls.append(("close",))

    class Run:
        def log(self, values, step):
            calls.append(("trackio", values, step))

        def finish(self):
            calls.append(("finish",))

    board = ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = Writer  # type: ignore[attr-defined]
    trackio = ModuleType("trackio")

    def init(**options):
        calls.append(("init", options["project"], options["name"], options["config"]["train.epochs"]))
        return Run()

    trackio.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    return calls


@pytest.mark.slow
def test_trackers_get_the_values_of_the_log_also_when_a_training_continues(conf, tmp_path, recorded):
    experiment = load_experiment(conf)
    stops = iter([False] * 14)
    with pytest.raises(InterruptedRun):
        train(experiment, tmp_path / "run", [0], track=["tensorboard"], should_stop=lambda: next(stops, True))
    assert recorded[-1] == ("close",)
    recorded.clear()
    train(experiment, tmp_path / "run", [0], track=["tensorboard", "trackio"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    logged = [{name: value for name, value in line.items() if name not in NOT_SHOWN} for line in lines]
    written: dict[int, dict[str, float]] = {}
    for name, value, step in (call for call in recorded if len(call) == 3 and call[0] not in ("open", "trackio")):
        written.setdefault(step, {})[name] = value
    assert written == dict(enumerate(logged, start=1))
    assert recorded[0] == ("open", str(tmp_path / "run" / "seed0" / "tensorboard"), 1)
    assert ("init", "run", "seed0", 6) in recorded
    later = [call[1:] for call in recorded if call[0] == "trackio"]
    assert later == [(logged[step - 1], step) for _, step in later]
    assert [step for _, step in later] == list(range(later[0][1], 7))
    assert sorted(recorded[-2:]) == [("close",), ("finish",)]


def test_folds_are_runs_of_one_project(conf, tmp_path, recorded):
    train(load_experiment(conf, ["data.folds=2", "train.epochs=1"]), tmp_path / "run", [0], track=["trackio"])
    assert [call[1:3] for call in recorded if call[0] == "init"] == [("run", "fold1-seed0"), ("run", "fold2-seed0")]


def test_a_missing_or_unknown_tracker_is_named_before_the_training(conf, tmp_path):
    with mock.patch.dict(sys.modules, {"trackio": None}):
        outcome = run_cli("train", conf, "--out", tmp_path / "run", "--track", "trackio")
    assert outcome.code == 2
    assert "the tracker trackio is not installed" in outcome.err
    assert "pip install 'asc-mrkd[tracking]'" in outcome.err
    assert not (tmp_path / "run").exists()
    with pytest.raises(MissingExtraError), mock.patch.dict(sys.modules, {"torch.utils.tensorboard": None}):
        require_trackers(["tensorboard"])
    with pytest.raises(ConfigError, match="there is no tracker 'tensorbord'"):
        require_trackers(["tensorbord"])
