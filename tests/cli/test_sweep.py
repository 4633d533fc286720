"""asc-mrkd sweep: points, resumption, failures, table, CSV and picture."""

import json
import os
import shutil
import signal
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import yaml
from helpers.cli import Outcome, run_cli

from asc_mrkd.engine import training
from asc_mrkd.errors import NonFiniteError

pytestmark = pytest.mark.slow

AXIS = "method.interval=3,9"
STEPS = 2 * 5
"""Steps of a seed: two epochs of 48 images in batches of 10."""


@pytest.fixture
def sweep(image_conf, tmp_path):
    """Return a function that sweeps a short experiment; `out` is the folder below tmp_path."""

    def run(*arguments: object, seeds: str = "0-1"):
        return run_cli("sweep", image_conf, "train.epochs=2", *arguments, "--out", tmp_path / "sweep", "--seeds", seeds)

    return run


@pytest.fixture(scope="module")
def whole(image_values, tmp_path_factory) -> tuple[Path, Outcome]:
    """The folder of a finished sweep, which is not to be changed, and what the command printed in 80 columns."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "images.yaml").write_text(yaml.safe_dump(image_values))
    out = folder / "sweep"
    with mock.patch.dict(os.environ, COLUMNS="80"):
        done = run_cli("sweep", folder / "images.yaml", "train.epochs=2", AXIS, "--out", out, "--seeds", "0-1")
    assert done.code == 0, done.err
    return out, done


@pytest.fixture(autouse=True)
def undrawn_points(monkeypatch) -> None:
    """Leave the pictures blank, except for that of `whole`."""
    monkeypatch.setattr("asc_mrkd.report.sweep.png", lambda figure: b"")


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function: SIGTERM comes after that many steps from now on."""
    apply = training.Trainer._apply

    def set_up(last: int) -> None:
        steps = 0

        def stopping(self, *arguments):
            nonlocal steps
            result = apply(self, *arguments)
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGTERM)
            return result

        monkeypatch.setattr(training.Trainer, "_apply", stopping)

    return set_up


def results(folder: Path) -> dict[str, bytes]:
    """Return weights, predictions and the table of a sweep."""
    files = [path for name in ("model.safetensors", "*.csv") for path in folder.rglob(name)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def accuracy(folder: Path) -> float:
    table = pd.read_csv(folder / "predictions.csv")
    return (table["label"] == table["prediction"]).mean()


def test_a_folder_a_point_a_table_and_a_file(whole):
    out, done = whole
    assert {path.name for path in out.iterdir()} == {"method.interval=3", "method.interval=9", "sweep.csv", "sweep.png"}
    assert "point 2 of 2: method.interval=9 seed 1, 2 of 2: 10/10 steps" in done.err
    assert max(map(len, done.out.splitlines()[:-2])) <= 80
    table = pd.read_csv(out / "sweep.csv")
    assert table[["method.interval", "seed"]].to_numpy().tolist() == [[3, 0], [3, 1], [9, 0], [9, 1]]
    for interval, ones in table.groupby("method.interval"):
        expected = pd.Series([accuracy(out / f"method.interval={interval}" / f"seed{seed}") for seed in (0, 1)])
        assert ones["accuracy"].tolist() == pytest.approx(expected.tolist())
        assert f"{100 - 100 * expected.mean():.2f} ± {100 * expected.std():.2f}" in done.out
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_scenes_have_points_too(conf, tmp_path):
    done = run_cli("sweep", conf, "method=ce,mrkd", "train.epochs=1", "--out", tmp_path / "sweep", "--json")
    assert done.code == 0, done.err
    for record in json.loads(done.out):
        point = tmp_path / "sweep" / f"method={record['values']['method']}"
        assert record["scores"]["accuracy"]["mean"] == pytest.approx(accuracy(point / "seed0"))


def test_a_second_sweep_touches_no_file_of_a_trained_point(whole, sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    first, done = whole
    shutil.copytree(first, tmp_path / "sweep")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*=*/**/*")}
    assert len(before) > 10
    again = sweep(AXIS)
    assert (again.code, again.out) == (0, done.out.replace(str(first), str(tmp_path / "sweep")))
    assert "point 1 of 2: method.interval=3 is trained" in again.err
    more = sweep("method.interval=9,3,5")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert more.code == 0
    assert (tmp_path / "sweep" / "method.interval=5" / "seed1" / "model.safetensors").exists()


def test_more_seeds_are_added(sweep, tmp_path):
    assert sweep(AXIS, seeds="0").code == 0
    assert sweep(AXIS, seeds="0-1").code == 0
    assert pd.read_csv(tmp_path / "sweep" / "sweep.csv")["seed"].tolist() == [0, 1, 0, 1]


def test_an_interrupted_sweep_continues_to_the_same_bits(whole, sweep, tmp_path, stop_after):
    """In the second seed of the first point, in its very last step, in the second point."""
    for steps, is_second_point in ((STEPS + 3, False), (STEPS - 3, False), (1, True)):
        stop_after(steps)
        stopped = sweep(AXIS)
        assert stopped.code == 3
        assert "the same command continues" in stopped.err
        assert (tmp_path / "sweep" / "method.interval=9").exists() == is_second_point
    assert sweep(AXIS).code == 0
    assert results(tmp_path / "sweep") == results(whole[0])


def test_a_signal_at_the_very_end_changes_nothing(sweep, tmp_path, stop_after):
    stop_after(4 * STEPS)
    assert sweep(AXIS).code == 0
    assert (tmp_path / "sweep" / "sweep.csv").exists()


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("method.interval=3,-2", "point method.interval=-2: "),
        ("method.intervall=3,4", "did you mean 'method.interval'"),
        ("model.options={depth: 8},{dept: 8}", "resnet20 has no option 'dept'"),
        ("method.interval=3", "nothing to sweep"),
    ],
)
def test_a_mistake_in_the_last_point_stops_before_the_first(sweep, tmp_path, mistake, message):
    done = sweep(mistake)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "sweep").exists()


def test_a_folder_of_another_experiment_is_refused_before_the_first_point(sweep, tmp_path):
    assert sweep("method.interval=5,9", seeds="0").code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*")}
    done = sweep("method.interval=3,9", "train.batch_size=8", seeds="0")
    assert done.code == 2
    assert "method.interval=9 holds another experiment: train.batch_size is 10 in it and 8 here" in done.err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").rglob("*")}


def test_a_point_that_fails_is_named_and_the_others_go_on(sweep, tmp_path, monkeypatch):
    original = training.Trainer.train_epoch

    def failing(self, *arguments):
        if self.method.replay.interval == 3 and self.seed == 1:
            raise NonFiniteError("seed 1: the loss is nan")
        return original(self, *arguments)

    monkeypatch.setattr(training.Trainer, "train_epoch", failing)
    done = sweep("method.interval=2,3,9", "--json")
    assert done.code == 1
    records = {record["values"]["method.interval"]: record for record in json.loads(done.out)}
    assert records["3"]["failure"] == "seed 1: the loss is nan"
    assert records["3"]["scores"]["seeds"] == [0]
    assert [records[value]["failure"] for value in "29"] == ["", ""]
    assert records["9"]["scores"]["seeds"] == [0, 1]
    table = pd.read_csv(tmp_path / "sweep" / "sweep.csv", keep_default_na=False)
    assert table["failure"].tolist() == ["", "", "", "seed 1: the loss is nan", "", ""]
    again = sweep("method.interval=2,3,9")
    assert again.code == 1
    assert "failed: method.interval=3: seed 1: the loss is nan" in " ".join(again.out.split())


def test_points_side_by_side_give_the_same(whole, sweep, tmp_path):
    done = sweep(AXIS, "--jobs", 2)
    assert done.code == 0, done.err
    assert "sweep: 2/2 points" in done.err
    assert results(tmp_path / "sweep") == results(whole[0])


def test_the_points_are_those_of_train(whole, image_conf, tmp_path):
    run_cli("train", image_conf, "train.epochs=2", "method.interval=9", "--out", tmp_path / "run", "--seeds", "1")
    of_train = tmp_path / "run/seed1/model.safetensors"
    of_sweep = whole[0] / "method.interval=9/seed1/model.safetensors"
    assert of_train.read_bytes() == of_sweep.read_bytes()
