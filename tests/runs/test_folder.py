"""The paths of a run folder, its seeds, and the errors of folders that are none."""

import json

import pytest
from helpers.runs import write_run

from asc_mrkd.config import load_experiment
from asc_mrkd.errors import RunError
from asc_mrkd.runs import RunFolder, SeedFolder, environment, find_model, find_scored_seeds


def write_files(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_seeds_are_sorted_as_numbers_and_other_folders_ignored(tmp_path):
    finished = [f"{name}/predictions.csv" for name in ("seed10", "seed9", "seed0", "seed0.old", "seed007", "seeds")]
    write_files(tmp_path, *finished, "seed2/checkpoint.pt", "seed3", "seed9/model.safetensors")
    run = RunFolder(tmp_path)
    assert run.seeds() == [0, 2, 9, 10]
    assert run.finished_seeds() == run.require_finished_seeds() == [0, 9, 10]
    assert run.pending_seeds([9, 10, 2, 5]) == [10, 2, 5], "seed 10 has lost its network"


def test_a_folder_without_a_finished_seed(tmp_path):
    write_files(tmp_path, "config.yaml", "seed0/checkpoint.pt")
    for look in (RunFolder(tmp_path).require_finished_seeds, lambda: find_scored_seeds(tmp_path)):
        with pytest.raises(RunError, match="no seed is finished") as error:
            look()
        assert "asc-mrkd train" in error.value.hint


def test_a_folder_that_is_not_a_run_folder(tmp_path):
    with pytest.raises(RunError, match="is not a run folder") as error:
        _ = RunFolder(tmp_path).experiment
    assert error.value.hint.startswith("asc-mrkd train")


def test_a_run_or_a_seed_folder_stands_for_seed_folders(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", seeds=2, epochs=1)
    assert [folder.seed for folder in find_scored_seeds(run)] == [0, 1]
    monkeypatch.chdir(run / "seed1")
    (folder,) = find_scored_seeds(".")
    assert (folder.seed, folder.run.experiment) == (1, RunFolder(run).experiment)


def test_the_model_of_a_run_is_that_of_its_lowest_seed(tmp_path):
    write_files(tmp_path, "seed10/model.safetensors", "seed9/model.onnx", "seed2/checkpoint.pt")
    assert find_model(tmp_path) == RunFolder(tmp_path).seed_folder(9).onnx
    assert find_model(SeedFolder(tmp_path / "seed10")) == tmp_path / "seed10/model.safetensors"
    assert find_model(tmp_path / "seed9/model.onnx") == tmp_path / "seed9/model.onnx"
    with pytest.raises(RunError, match="no trained model"):
        find_model(tmp_path / "seed2")


def test_only_the_same_experiment_may_enter_a_run_folder(tmp_path):
    conf = write_run(tmp_path / "other", epochs=1) / "config.yaml"
    experiment = load_experiment(conf)
    run = RunFolder(tmp_path / "run")
    run.require_same(experiment)
    run.create(experiment, environment(threads=2, gpu="a GPU"))
    assert run.experiment == experiment
    run.require_same(load_experiment(conf, ["seeds=[7]", "train.device=cuda"]))
    with pytest.raises(RunError, match=r"train\.epochs"):
        run.require_same(load_experiment(conf, ["train.epochs=9"]))
    record = json.loads(run.environment_file.read_text())
    assert (record["threads"], record["gpu"]) == (2, "a GPU")
    assert record["torch"].startswith("2.")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["/usr/bin/asc-mrkd", "train", "my conf.yaml"], "asc-mrkd train 'my conf.yaml'"),
        (["/usr/lib/asc_mrkd/__main__.py", "train"], "asc-mrkd train"),
        (["study/mine.py", "--fast"], "mine.py --fast"),
        ([""], "python"),
    ],
)
def test_the_environment_has_the_command_as_it_can_be_typed(monkeypatch, arguments, command):
    monkeypatch.setattr("sys.argv", arguments)
    assert environment()["command"] == command


@pytest.mark.parametrize("name", ["README.md", "clips.csv", "checkpoint.pt"])
def test_no_run_is_written_over_a_project_a_store_or_a_seed(tmp_path, name):
    experiment = load_experiment(write_run(tmp_path / "other", epochs=1) / "config.yaml")
    write_files(tmp_path / "mine", "log.txt", "src/README.md")
    RunFolder(tmp_path / "mine").require_same(experiment)
    write_files(tmp_path / "mine", name)
    with pytest.raises(RunError, match=f"mine holds {name} and is not a run folder"):
        RunFolder(tmp_path / "mine").require_same(experiment)


def test_f3_7_the_hint_names_the_run_that_was_meant(tmp_path):
    for name in ("ce", "mrkd"):
        (tmp_path / "sweep" / name / "seed0").mkdir(parents=True)
        (tmp_path / "sweep" / name / "config.yaml").write_text("x")
    hints = {
        "sweep": "it holds run folders: ce, mrkd",
        "sweep/ce/seed0": f"the run folder is {tmp_path / 'sweep/ce'}",
        "sweep/ce/config.yaml": f"the run folder is {tmp_path / 'sweep/ce'}",
        "sweep/mrdk": f"did you mean {tmp_path / 'sweep/mrkd'}?",
        "elsewhere": "asc-mrkd train CONF.yaml --out RUNDIR",
    }
    for path, hint in hints.items():
        with pytest.raises(RunError, match="is not a run folder") as caught:
            _ = RunFolder(tmp_path / path).experiment
        assert caught.value.hint == hint
