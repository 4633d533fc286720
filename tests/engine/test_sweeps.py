"""The points of a sweep: read, checked, trained."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from helpers.engine import terminate_after
from helpers.warm import warm_command_line

from asc_mrkd.engine.sweeps import STOP_FILE, load_points, sweep
from asc_mrkd.errors import ConfigError, InterruptedRun, RunError

pytestmark = pytest.mark.slow


def test_every_point_is_read_and_a_bad_one_named(image_conf: Path):
    points = load_points(image_conf, ["method.num_backups=1,2", "train.epochs=3"])
    numbers = [(experiment.method.options["num_backups"], experiment.train.epochs) for _, experiment in points]
    assert numbers == [(1, 3), (2, 3)]
    with pytest.raises(ConfigError, match=r"point method\.num_backups=0: .*method\.num_backups"):
        load_points(image_conf, ["method.num_backups=1,0"])


def test_values_that_make_no_difference_are_refused(image_conf: Path):
    """A later override has replaced the section: both points would be the same run under two names."""
    with pytest.raises(ConfigError, match=r"method\.interval=3 and method\.interval=9 are the same experiment"):
        load_points(image_conf, ["method.interval=3,9", "method=mrkd"])
    with pytest.raises(ConfigError, match=r"method\.alpha=0\.5 and method\.alpha=0\.50 are the same experiment"):
        load_points(image_conf, ["method.alpha=0.5,0.50"])
    with pytest.raises(ConfigError, match="are the same experiment"):  # 0.5 is the default
        load_points(image_conf, ["method={name: mrkd},{name: mrkd, alpha: 0.5}"])
    assert len(load_points(image_conf, ["method=mrkd", "method.interval=3,9"])) == 2


AXIS = ["method.interval=3,9", "train.epochs=2"]


def trained_bytes(folder: Path) -> dict[str, bytes]:
    """Return weights and predictions of a sweep by their paths."""
    files = [path for name in ("model.safetensors", "predictions.csv") for path in folder.rglob(name)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def in_turn(image_values, tmp_path_factory) -> Path:
    """Folder of a sweep whose points were trained one after the other, with two seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "conf.yaml").write_text(yaml.safe_dump(image_values))
    points = sweep(folder / "conf.yaml", AXIS, folder / "sweep", [0, 1])
    assert [(point.values, point.run.finished_seeds()) for point in points] == [
        ({"method.interval": "3"}, [0, 1]),
        ({"method.interval": "9"}, [0, 1]),
    ]
    return folder / "sweep"


def test_points_side_by_side_get_the_numbers_of_points_in_turn(image_conf, in_turn, tmp_path):
    points = sweep(image_conf, AXIS, tmp_path / "sweep", [0, 1], jobs=2)
    assert [point.failure for point in points] == ["", ""]
    assert trained_bytes(tmp_path / "sweep") == trained_bytes(in_turn)
    assert not (tmp_path / "sweep" / STOP_FILE).exists()


def test_points_of_an_interrupted_sweep_continue_side_by_side(image_conf, in_turn, tmp_path):
    with pytest.raises(InterruptedRun):
        sweep(image_conf, AXIS, tmp_path / "sweep", [0, 1], progress=terminate_after(13))
    sweep(image_conf, AXIS, tmp_path / "sweep", [0, 1], jobs=2)
    assert trained_bytes(tmp_path / "sweep") == trained_bytes(in_turn)


def test_a_point_that_fails_in_a_worker_is_named(image_conf, tmp_path):
    axis = ["train.optimizer.lr=0.05,1e20", "train.epochs=2", "method=ce"]
    good, bad = sweep(image_conf, axis, tmp_path / "sweep", [0], jobs=2)
    assert (good.failure, good.run.finished_seeds()) == ("", [0])
    assert "the loss is" in bad.failure
    assert bad.run.finished_seeds() == []


def test_threads_of_the_workers_are_part_of_the_experiment(image_conf, tmp_path):
    image_conf.write_text(image_conf.read_text().replace("threads: 1", "threads: null"))
    axis = ["method.interval=3,9", "train.epochs=1"]
    (first, _) = sweep(image_conf, axis, tmp_path / "sweep", [0], jobs=2)
    assert first.run.experiment.train.threads == 1
    with pytest.raises(RunError, match=r"train\.threads is 1 in it and None here"):
        sweep(image_conf, axis, tmp_path / "sweep", [0])
    sweep(image_conf, [*axis, "train.threads=1"], tmp_path / "sweep", [0])


def test_workers_of_a_cluster_give_the_numbers_of_points_in_turn(image_conf, in_turn, tmp_path):
    from helpers.cluster import start_cluster  # it skips where the extra is not installed

    with start_cluster(workers=1) as cluster:
        points = sweep(image_conf, AXIS, tmp_path / "sweep", [0, 1], scheduler=cluster.scheduler_address)
    assert [point.failure for point in points] == ["", ""]
    assert trained_bytes(tmp_path / "sweep") == trained_bytes(in_turn)


def test_sigterm_saves_all_points_side_by_side(image_conf, tmp_path):
    """The run is long; the signal comes when both points have saved their first checkpoint.

    The tests of tools/evidence.sh press Ctrl-C.
    """
    out = tmp_path / "sweep"
    axis = ["method.interval=3,9", "train.epochs=100000"]
    command = warm_command_line("sweep", image_conf, *axis, "--out", out, "--jobs", 2)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    while process.poll() is None and len(list(out.glob("*/seed0/checkpoint.pt"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "the same command continues" in errors
    assert not (out / STOP_FILE).exists()


def test_jobs_under_torchrun_and_odd_seeds_are_refused_before_anything_is_written(image_conf, tmp_path, monkeypatch):
    launched = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="seeds: 3 appears twice"):
        sweep(image_conf, AXIS, tmp_path / "sweep", [3, 3])
    with pytest.raises(ConfigError, match="torchrun and several jobs"):
        sweep(image_conf, AXIS, tmp_path / "sweep", [0], jobs=2)
    assert not (tmp_path / "sweep").exists()
