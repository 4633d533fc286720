"""asc-mrkd sweep: points, resumption, failures, table, CSV and picture."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from asc_mrkd.engine import train as train_module
from asc_mrkd.errors import NonFiniteError

AXIS = "method.interval=3,9"


@pytest.fixture
def sweep(cli, image_conf, tmp_path):
    """Return a function that sweeps a short experiment; `out` is the folder below tmp_path."""

    def run(*arguments: object, out: str = "sweep", seeds: str = "0-1"):
        return cli("sweep", image_conf, "train.epochs=2", *arguments, "--out", tmp_path / out, "--seeds", seeds)

    return run


def models(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("model.safetensors")}


def accuracy(folder: Path) -> float:
    table = pd.read_csv(folder / "predictions.csv")
    return (table["label"] == table["prediction"]).mean()


def test_a_folder_a_point_a_table_and_a_file(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = sweep(AXIS)
    assert done.code == 0, done.err
    out = tmp_path / "sweep"
    assert {path.name for path in out.iterdir()} == {"method.interval=3", "method.interval=9", "sweep.csv", "sweep.png"}
    assert "point 2 of 2: method.interval=9" in done.err
    assert max(map(len, done.out.partition("points and seeds")[0].splitlines())) <= 80
    table = pd.read_csv(out / "sweep.csv")
    assert table[["method.interval", "seed"]].to_numpy().tolist() == [[3, 0], [3, 1], [9, 0], [9, 1]]
    for row in table.itertuples(index=False):
        assert row.accuracy == pytest.approx(accuracy(out / f"method.interval={row[0]}" / f"seed{row.seed}"))
        assert f"{100 * (1 - table[table['method.interval'] == row[0]]['accuracy'].mean()):.2f} ± " in done.out
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_finished_points_are_left_alone(sweep, tmp_path):
    sweep(AXIS)
    points = list((tmp_path / "sweep").rglob("seed*/*"))
    before = {path: path.stat().st_mtime_ns for path in points}
    again = sweep("method.interval=3,9,5")
    assert again.code == 0
    assert before == {path: path.stat().st_mtime_ns for path in points}
    assert (tmp_path / "sweep" / "method.interval=5" / "seed1" / "model.safetensors").exists()


def test_an_interrupted_sweep_continues_to_the_same_bits(sweep, tmp_path, monkeypatch):
    sweep(AXIS, out="whole")
    steps, original = 0, train_module.Trainer._train_step

    def stopping(self, *arguments):
        nonlocal steps
        original(self, *arguments)
        steps += 1
        if steps == 13:  # within the second seed of the first point
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(train_module.Trainer, "_train_step", stopping)
    stopped = sweep(AXIS)
    assert stopped.code == 3
    assert "the same command continues" in stopped.err
    assert not (tmp_path / "sweep" / "method.interval=9").exists()
    assert sweep(AXIS).code == 0
    assert models(tmp_path / "sweep") == models(tmp_path / "whole")


def test_a_mistake_in_the_last_point_stops_before_the_first(sweep, tmp_path):
    done = sweep("method.interval=3,-2")
    assert done.code == 2
    assert "method.interval=-2" in done.err
    assert not (tmp_path / "sweep").exists()
    assert "did you mean 'method.interval'" in sweep("method.intervall=3,4").err


def test_a_point_that_fails_is_named_and_the_others_go_on(sweep, tmp_path, monkeypatch):
    original = train_module.Trainer.train_epoch

    def failing(self, *arguments):
        if self.method.interval == 3 and self.seed == 1:
            raise NonFiniteError("seed 1: the loss is nan")
        return original(self, *arguments)

    monkeypatch.setattr(train_module.Trainer, "train_epoch", failing)
    done = sweep("method.interval=2,3,9", "--json")
    assert done.code == 1
    records = {record["values"]["method.interval"]: record for record in json.loads(done.out)}
    assert records["3"]["failure"] == "seed 1: the loss is nan"
    assert records["3"]["scores"]["seeds"] == [0]
    assert records["9"]["scores"]["seeds"] == [0, 1]
    assert "failed at method.interval=3: seed 1: the loss is nan" in " ".join(
        sweep("method.interval=2,3,9").out.split()
    )


def test_a_folder_of_another_experiment_is_refused(sweep):
    assert sweep(AXIS).code == 0
    done = sweep(AXIS, "train.batch_size=8")
    assert done.code == 2
    assert "train.batch_size" in done.err
