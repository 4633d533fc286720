"""A run knows its data, its experiment and its writer; nothing that does not belong to it enters its folder."""

import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from helpers.cli import run_cli
from helpers.data import draw_images, make_store, write_experiment
from helpers.engine import train_run
from helpers.warm import warm_command_line

from asc_mrkd.deploy import Predictor
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.sweeps import sweep
from asc_mrkd.engine.training import train
from asc_mrkd.errors import DataError, InterruptedRun, RunError
from asc_mrkd.locks import LOCK, exclusive_lock
from asc_mrkd.methods import load_experiment
from asc_mrkd.runs import RunFolder, read_metrics, read_predictions

pytestmark = pytest.mark.slow

SHORT = ("method=ce", "train.epochs=2", "train.evaluate_every=0")
"""Two epochs of four steps."""

OWN_PROCESS = f"is being written by process {os.getpid()} on {socket.gethostname()}"


def results(out: Path) -> list[bytes]:
    """Return the network and the predictions of seed 0."""
    return [(out / "seed0" / name).read_bytes() for name in ("model.safetensors", "predictions.csv")]


@pytest.fixture
def whole(conf, tmp_path) -> Path:
    """An uninterrupted run."""
    return train_run(conf, tmp_path / "whole", *SHORT)


def test_f1_1_a_seed_in_training_is_refused_with_the_process_that_trains_it(conf, tmp_path):
    seed = RunFolder(tmp_path / "run").seed_folder(0).path
    seed.mkdir(parents=True)
    with exclusive_lock(seed):
        for method in ("ce", "mrkd"):  # the same experiment or another
            with pytest.raises(RunError, match=OWN_PROCESS) as caught:
                train_run(conf, tmp_path / "run", *SHORT, f"method={method}")
            assert "--out" in caught.value.hint
        assert not RunFolder(tmp_path / "run").config_file.exists()
        train_run(conf, tmp_path / "run", *SHORT, seeds=(1,))  # side by side with another seed
    train_run(conf, tmp_path / "run", *SHORT)
    assert RunFolder(tmp_path / "run").finished_seeds() == [0, 1]
    assert RunFolder(tmp_path / "run").experiment.seeds == [0, 1]


def test_f1_1_the_lock_of_a_killed_process_is_no_obstacle(conf, tmp_path):
    seed = RunFolder(tmp_path / "run").seed_folder(0).path
    seed.mkdir(parents=True)
    (seed / LOCK).write_text("process 4000000 on elsewhere")
    train_run(conf, tmp_path / "run", *SHORT)
    assert not (seed / LOCK).exists()


def test_f1_1_seeds_that_wait_their_turn_are_those_of_the_training_that_has_them(conf, tmp_path):
    """While it is at seed 0, nobody else takes seed 1; seed 2 is free."""
    out = tmp_path / "run"
    tried: list[int] = []

    @contextmanager
    def progress(title, total, unit, done=0):
        if not tried:
            with pytest.raises(RunError, match="seed1 " + OWN_PROCESS):
                train_run(conf, out, *SHORT, seeds=(1,))
            train_run(conf, out, *SHORT, seeds=(2,))
            tried.append(2)
        yield lambda amount, note: None

    train(load_experiment(conf, list(SHORT)), out, [0, 1], progress=progress)
    epochs = read_metrics(out / "metrics.jsonl")[["seed", "epoch"]].values.tolist()
    assert epochs == [[seed, epoch] for seed in (0, 1, 2) for epoch in (1, 2)]
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 6


def test_f1_1_seeds_that_were_not_reached_leave_no_folder(conf, tmp_path):
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "run", *SHORT, seeds=(0, 1, 2), stop_after=3)
    assert RunFolder(tmp_path / "run").seeds() == [0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_f1_1_a_second_sweep_is_refused(conf, tmp_path, jobs):
    out = tmp_path / "sweep"
    out.mkdir()
    with exclusive_lock(out), pytest.raises(RunError, match=OWN_PROCESS):
        sweep(conf, ["method.interval=3,5"], out, [0], jobs=jobs)
    assert not (out / ".stop").exists()


def test_f1_1_two_commands_at_once_end_in_one_run(image_conf, tmp_path):
    command = warm_command_line("train", image_conf, "--out", tmp_path / "run", "--seeds", 0)
    processes = [
        subprocess.Popen([*command, f"method={method}", f"train.epochs={epochs}"], stderr=subprocess.PIPE, text=True)
        for method, epochs in (("ce", 20), ("mrkd", 16))
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2], errors
    winner = 0 if processes[0].returncode == 0 else 1
    assert "is being written by process" in errors[1 - winner] or "holds another experiment" in errors[1 - winner]
    assert RunFolder(tmp_path / "run").experiment.method.name == ("ce", "mrkd")[winner]
    lines = [json.loads(line)["epoch"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, (20, 16)[winner] + 1))


def test_f1_2_a_copied_seed_does_not_count_twice(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.copytree(run / "seed0", run / "seed7")
    done = run_cli("evaluate", run)
    assert done.code == 2
    assert f"{run / 'seed7' / 'predictions.csv'} is a copy of {run / 'seed0' / 'predictions.csv'}" in done.err


def test_f1_2_a_seed_folder_of_another_run_is_refused_by_whoever_reads_it(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("interval: 5", "interval: 4"))  # so the seed is of another run
    for words in (
        ["evaluate", run],
        ["predict", run, tmp_path],
        ["check-budget", run / "seed0"],
        ["compress", run, "float16", "--out", tmp_path / "small"],
    ):
        done = run_cli(*words)
        assert done.code == 2, words
        assert "is of another run: method.interval is 5 in it and 4 in" in done.err, words
    (run / "seed0/settings.json").unlink()  # as in the run of an earlier version
    assert run_cli("evaluate", run).code == 0


def test_a_seed_folder_that_was_renamed_is_refused(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "seed0").rename(run / "seed5")
    done = run_cli("evaluate", run)
    assert done.code == 2
    assert f"{run / 'seed5'} is of another seed: it was called 'seed0'" in done.err
    (run / "seed5").rename(run / "best")
    assert run_cli("check-budget", run / "best").code == 0, "a folder by another name is not a seed of the run"


def test_f1_2_settings_that_are_damaged_are_written_again(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", *SHORT)
    settings = out / "seed0/settings.json"
    before = settings.read_text()
    settings.write_text(before[:40])
    assert run_cli("check-budget", out).code == 2
    with pytest.warns(UserWarning, match=r"settings\.json .*; it is made again"):
        train_run(conf, out, *SHORT)
    assert settings.read_text() == before


def test_f1_2_t4_the_same_data_elsewhere_continue_to_the_same_bits(conf, store, whole, tmp_path, monkeypatch):
    cut = tmp_path / "cut"
    with pytest.raises(InterruptedRun):
        train_run(conf, cut, *SHORT, stop_after=1)
    with pytest.raises(InterruptedRun):
        train_run(conf, cut, *SHORT, f"data.store={store}/", stop_after=1)
    shutil.copytree(store, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    train_run(conf, cut, *SHORT, "data.store=moved")
    assert results(cut) == results(whole)
    assert RunFolder(cut).experiment.data.store == "moved"


def test_f1_2_other_data_under_the_same_path_are_refused(tmp_path):
    store = tmp_path / "store"
    make_store(store)
    conf = write_experiment(tmp_path / "conf.yaml", store)
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "run", *SHORT, stop_after=5)
    shutil.rmtree(store)
    make_store(store, clips_per_class=9)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"run was trained on other data than .*store holds now"):
        train_run(conf, tmp_path / "run", *SHORT)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    with pytest.raises(DataError, match="holds other data than this experiment belongs to"):
        open_data(RunFolder(tmp_path / "run").experiment.data)


def test_f1_2_other_images_under_the_same_path_are_refused(image_values, tmp_path):
    folder = draw_images(tmp_path / "images")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump({**image_values, "data": {"images": str(folder)}}))
    train_run(conf, tmp_path / "run", *SHORT)
    (folder / "train" / "apple" / "1.png").rename(folder / "train" / "baby" / "apple1.png")
    with pytest.raises(RunError, match="was trained on other data"):
        train_run(conf, tmp_path / "run", *SHORT)
    (folder / "train" / "baby" / "apple1.png").rename(folder / "train" / "apple" / "1.png")
    shutil.copytree(folder, tmp_path / "elsewhere")
    train_run(conf, tmp_path / "run", *SHORT, f"data.images={tmp_path / 'elsewhere'}", seeds=(1,))


def test_f1_2_the_run_of_an_earlier_version_takes_its_data_as_they_are(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", *SHORT)
    values = yaml.safe_load((out / "config.yaml").read_text())
    del values["data"]["digest"]
    (out / "config.yaml").write_text(yaml.safe_dump(values))
    assert run_cli("evaluate", out).code == 0
    train_run(conf, out, *SHORT)
    train_run(conf, out, *SHORT, seeds=(1,))
    assert load_experiment(out / "config.yaml").data.digest


def test_f3_9_a_run_keeps_the_seeds_that_were_asked_for(conf, tmp_path):
    asked = (*SHORT, "train.epochs=1", "seeds=[0,1,2,3]")
    train_run(conf, tmp_path / "run", *asked, seeds=(0,))
    assert RunFolder(tmp_path / "run").experiment.seeds == [0]
    train_run(conf, tmp_path / "run", *asked, seeds=(2,))
    assert RunFolder(tmp_path / "run").experiment.seeds == [0, 2]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.safetensors.sha256", "predictions.csv", "predictions.csv.sha256"]
)
@pytest.mark.parametrize("change", ["cut", "removed", "bit"])
def test_f2_3_a_damaged_file_of_a_finished_seed_is_made_again(conf, trained_short, tmp_path, name, change):
    out = tmp_path / "run"
    shutil.copytree(trained_short, out)
    path = out / "seed0" / name
    content = path.read_bytes()
    if change == "removed":
        path.unlink()
    elif change == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    expected = results(trained_short)
    if name.endswith(".sha256") and change == "removed":  # as in the run of an earlier version
        assert len(read_predictions(out / "seed0" / "predictions.csv").labels) == 6
        assert len(load_model(out).classes) == 3
        return
    done = run_cli("train", conf, *SHORT, "--out", out, "--seeds", "0")
    assert done.code == 0, done.err
    assert results(out) == expected
    read_predictions(out / "seed0" / "predictions.csv")


def test_trained_seeds_of_an_unknown_experiment_are_refused(conf, trained_short, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained_short, out)
    (out / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"holds trained seeds, but config\.yaml, the experiment, is missing"):
        train_run(conf, out, *SHORT, "method=mrkd")


def test_f2_3_the_model_file_of_another_network_is_made_again(conf, trained_short, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained_short, out)
    other = train_run(conf, tmp_path / "other", *SHORT, "model.options.width=5", "train.epochs=1")
    shutil.copy(other / "seed0" / "model.safetensors", out / "seed0")
    (out / "seed0" / "model.safetensors.sha256").unlink()  # as in the run of an earlier version
    with pytest.warns(UserWarning, match=r"is of another run: its options is .*; it is made again"):
        train_run(conf, out, *SHORT)
    assert results(out) == results(trained_short)


def test_the_network_of_another_seed_is_refused_and_made_again(conf, tmp_path):
    out = train_run(conf, tmp_path / "run", *SHORT, "train.epochs=1", seeds=(0, 1))
    before = results(out)
    shutil.copy(out / "seed1" / "model.safetensors", out / "seed0")
    refusal = r"seed0/model\.safetensors is not the network that was written there"
    for read in (load_model, Predictor):
        with pytest.raises(RunError, match=refusal) as caught:
            read(out)
        assert "repeat the command that made the run" in caught.value.hint
    with pytest.warns(UserWarning, match=f"{refusal}.*; it is made again"):
        train_run(conf, out, *SHORT, "train.epochs=1", seeds=(0, 1))
    assert results(out) == before


@pytest.mark.parametrize("damage", ["torn", "lost", "twice", "odd", "all"])
def test_f2_7_lost_lines_of_the_log_come_back(conf, trained_short, tmp_path, damage):
    out = tmp_path / "run"
    shutil.copytree(trained_short, out)
    path = out / "metrics.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    content = {
        "torn": whole[:-20],
        "lost": lines[0],
        "twice": whole + lines[1],
        "odd": lines[0] + '5\nnull\n[1]\n{"a": 1}\n\xff\xfe\n' + lines[1],
        "all": "",
    }[damage]
    path.write_text(content, encoding="latin-1")
    train_run(conf, out, *SHORT)
    assert path.read_text() == whole


@pytest.fixture(scope="module")
def trained_short(store, tmp_path_factory) -> Path:
    """A finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("short")
    return train_run(write_experiment(folder / "conf.yaml", store), folder / "run", *SHORT)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("method=msd", "method.branches=[nolayer]"), "has no layer 'nolayer'"),
        (("method=mrkd", "method.teacher_devices=[foo]"), "foo"),
        (("method=mrkd", "method.teacher_devices=[cuda:77]"), "cuda:77"),
        (("train.device=foo",), "foo"),
        (("model.options.width=0",), "width"),
    ],
)
def test_f2_4_nothing_is_written_for_a_value_that_is_found_wrong(conf, tmp_path, overrides, named):
    done = run_cli("train", conf, *SHORT, *overrides, "--out", tmp_path / "run", "--seeds", "0")
    assert done.code == 2
    assert named in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()
