"""Submissions for the tasks other than 2020 1B, and their limits."""

import dataclasses
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import yaml
from helpers.cli import run_cli
from helpers.datasets import make_noise_scenes
from helpers.submission import write_run

from asc_mrkd.budget import check_budget
from asc_mrkd.deploy.model_file import load_model, save_model
from asc_mrkd.errors import BudgetError, ConfigError, DamagedFileError, SubmissionError
from asc_mrkd.runs import read_predictions
from asc_mrkd.submission import TASKS, check_submission, make_submission

pytestmark = pytest.mark.slow

TASK, LABEL = "dcase2020-task1b", "Kim_KETI_task1b_1"
A18, A20, A24 = "dcase2018-task1a", "dcase2020-task1a", "dcase2024-task1"
A22, A23, A25 = "dcase2022-task1", "dcase2023-task1", "dcase2025-task1"
TEN, SPLITS = "Kim_KETI_task1a_1", "Kim_KETI_task1_1"
DEVICES = ["a", "b", "c", "s1", "s2", "s3", "s4", "s5"]


def read_output(out, label=LABEL, suffix=".output.csv"):
    return pd.read_csv(out / "task1" / label / f"{label}{suffix}", sep="\t")


def read_meta(out, label=LABEL):
    return yaml.safe_load((out / "task1" / label / f"{label}.meta.yaml").read_text())


def test_meta_has_the_scores_of_every_device(tmp_path):
    run = write_run(tmp_path / "run", A20, clips=60, small=True, devices=DEVICES)
    make_submission(run, A20, TEN, tmp_path / "out")
    devices = read_meta(tmp_path / "out", TEN)["results"]["development_dataset"]["device_wise"]
    assert list(devices) == [*DEVICES, "s6"]
    assert devices.pop("s6") == {"accuracy": None, "logloss": None}
    truth = read_predictions(run / "seed0" / "predictions.csv")
    for device, scores in devices.items():
        own = (truth.table["source_label"] == device).to_numpy()
        right = sklearn.metrics.accuracy_score(truth.table["label"][own], truth.table["prediction"][own])
        loss = sklearn.metrics.log_loss(truth.table["label"][own], truth.probabilities[own], labels=list(truth.classes))
        assert scores["accuracy"] == pytest.approx(100 * right, abs=0.005)
        assert scores["logloss"] == pytest.approx(loss, abs=5e-5)


def test_ten_scenes_have_a_column_each_in_2020_and_no_complexity_but_the_parameters(tmp_path):
    make_submission(write_run(tmp_path / "run", A20, clips=10, small=True), A20, TEN, tmp_path / "out")
    assert list(read_output(tmp_path / "out", TEN).columns[2:]) == sorted(TASKS[A20].classes)
    system = read_meta(tmp_path / "out", TEN)["system"]
    assert list(system["complexity"]) == ["total_parameters"]
    assert "complexity_management" not in system["description"]


@pytest.mark.parametrize(("task", "precision"), [(A22, None), (A23, "float16")])
def test_2022_and_2023_leave_memory_and_energy_to_the_author(tmp_path, task, precision):
    run = write_run(tmp_path / "run", task, clips=10, small=True, zeros=3, devices=DEVICES)
    archive = make_submission(run, task, SPLITS, tmp_path / "out", precision=precision)
    assert sorted(zipfile.ZipFile(archive).namelist()) == [
        f"task1/{SPLITS}/{SPLITS}.meta.yaml",
        f"task1/{SPLITS}/{SPLITS}.output.csv",
    ]
    system = read_meta(tmp_path / "out", SPLITS)["system"]
    verdict = check_budget(run / "seed0", task)
    complexity = system["complexity"]
    assert complexity.pop("memory_use") == "FILL-IN"
    assert complexity.pop("total_model_size", verdict.bytes) == verdict.bytes
    assert complexity == {
        "total_parameters": verdict.parameters,
        "total_parameters_non_zero": verdict.parameters - 3,
        "macs": verdict.multiply_adds,
    }
    assert set(system.get("energy_consumption", {"training": "FILL-IN"}).values()) == {"FILL-IN"}
    assert ("energy_consumption" in system) == (task == A23)


def test_2025_gives_results_of_one_network_for_all_devices_and_names_what_is_missing(tmp_path):
    run = write_run(tmp_path / "run", A25, clips=60, small=True, devices=[*DEVICES, "s6"])
    said = []
    make_submission(run, A25, SPLITS, tmp_path / "out", tell=said.append)
    assert "Python package" in said[-1]
    assert "system.inference_code" in said[-1]
    meta = read_meta(tmp_path / "out", SPLITS)
    results = meta["results"]["development_dataset"]
    truth = read_predictions(run / "seed0" / "predictions.csv")
    accuracy = sklearn.metrics.balanced_accuracy_score(truth.table["label"], truth.table["prediction"])
    assert results["general"]["overall"]["accuracy"] == pytest.approx(100 * accuracy, abs=0.005)
    unknown = {"accuracy": None, "logloss": None}
    assert results["device_specific"]["overall"] == unknown
    assert results["device_specific"]["device_wise"] == dict.fromkeys([*DEVICES, "s6"], unknown)
    assert meta["system"]["inference_code"] == "FILL-IN"
    description = meta["system"]["description"]
    assert description["num_models_at_inference"] == 1
    assert description["model_weight_sharing"] == "fully shared"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Built-in evaluation set of one-second clips; its recordings are noise."""
    scenes = make_noise_scenes(tmp_path_factory.mktemp("scenes"))
    return scenes.with_name("TAU-urban-acoustic-scenes-2025-mobile-evaluation")


@pytest.mark.parametrize("task", [A22, A23, A25])
def test_built_in_recordings_of_one_second_become_an_accepted_entry(evaluation, tmp_path, task):
    run = write_run(tmp_path / "run", task, clips=10, small=True, devices=[*DEVICES, "s6"])
    archive = make_submission(run, task, SPLITS, tmp_path / "out", audio=evaluation)
    clips = evaluation / "evaluation_setup" / "fold1_test.csv"
    problems = check_submission(archive, task, clips)
    assert {(problem.code, problem.severity) for problem in problems} == {("placeholder", "warning")}
    listed = pd.read_csv(clips, sep="\t")["filename"]
    assert sorted(read_output(tmp_path / "out", SPLITS)["filename"]) == sorted(listed)


@pytest.fixture
def splits(tmp_path):
    """A run with different predictions for every share of the training data of 2024."""
    percents = TASKS[A24].splits
    return {
        percent: write_run(
            tmp_path / f"share{percent}", A24, clips=10, seeds={"seed0": percent}, small=True, devices=DEVICES
        )
        for percent in percents
    }


def test_2024_has_an_output_and_results_for_every_split(splits, tmp_path):
    label = SPLITS
    archive = make_submission(splits, A24, label, tmp_path / "out", precision="float16")
    names = [f"task1/{label}/{label}.output.split_{percent}.csv" for percent in splits]
    assert sorted(zipfile.ZipFile(archive).namelist()) == sorted([f"task1/{label}/{label}.meta.yaml", *names])
    meta = read_meta(tmp_path / "out", label)
    for percent, run in splits.items():
        predictions = read_predictions(run / "seed0" / "predictions.csv")
        output = pd.read_csv(tmp_path / "out" / "task1" / label / f"{label}.output.split_{percent}.csv", sep="\t")
        np.testing.assert_allclose(output[list(predictions.classes)], predictions.probabilities, atol=1e-6)
        scores = meta["results"]["development_dataset"][f"split_{percent}"]
        accuracy = sklearn.metrics.balanced_accuracy_score(predictions.table["label"], predictions.table["prediction"])
        assert scores["overall"]["accuracy"] == pytest.approx(100 * accuracy, abs=0.005)
        assert len(scores["device_wise"]) == 9
    network = load_model(splits[5])
    parameters = sum(p.numel() for p in network.model.parameters())
    complexity = meta["system"]["complexity"]
    assert (complexity["total_parameters"], complexity["total_model_size"]) == (parameters, 2 * parameters)
    assert 0 < complexity["macs"] <= 30_000_000
    assert meta["system"]["description"]["pipeline"] == "training, weights stored as float16"


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs[5],
        lambda runs: {percent: run for percent, run in runs.items() if percent != 25},
        lambda runs: {**runs, 75: runs[5].parent / "share75"},
        lambda runs: {**runs, 10: runs[5]},
    ],
    ids=["one run", "a split is missing", "one more", "one run for two"],
)
def test_2024_asks_for_a_separate_run_per_split(splits, tmp_path, change):
    with pytest.raises(SubmissionError, match="asks for a separate run for each of 5, 10, 25, 50, 100 %") as caught:
        make_submission(change(splits), A24, SPLITS, tmp_path / "out")
    assert caught.value.hint.startswith("--split 5=RUN --split 10=RUN")


def test_splits_are_for_2024_only(splits, tmp_path):
    with pytest.raises(SubmissionError, match="DCASE 2020 task 1A asks for one run, not for one per split"):
        make_submission(splits, A20, TEN, tmp_path / "out")


def test_splits_on_the_command_line(splits, tmp_path):
    make = "submit", "make", "--task", A24, "--label", SPLITS, "--out", tmp_path / "out"
    pairs = [word for percent, run in splits.items() for word in ("--split", f"{percent}={run}")]
    code, out, err = run_cli(*make, *pairs)
    assert (code, out) == (0, f"{tmp_path / 'out' / 'Kim_KETI_task1.zip'}\n")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [str(run) for run in splits.values()]
    for wrong, message in (
        ([splits[5]], "asks for a separate run for each of 5, 10"),
        (pairs[:-2], "asks for a separate run for each of 5, 10"),
        ([splits[5], *pairs], "give either RUN or"),
        ([], "give either RUN or"),
        (["--split", splits[5]], "is not PERCENT=RUN"),
        (["--split", "half=x"], "is not PERCENT=RUN"),
        ([*pairs, *pairs[:2]], "once per share"),
    ):
        code, out, err = run_cli(*make, *wrong)
        assert (code, out) == (2, "")
        assert message in err


def test_exit_code_of_a_system_over_the_limit(tmp_path):
    make = (
        "submit",
        "make",
        write_run(tmp_path / "run", A18, clips=10),
        "--task",
        A18,
        "--label",
        TEN,
        "--out",
        tmp_path / "out",
    )
    code, out, err = run_cli(*make, "--budget", TASK)
    assert (code, out) == (1, "")
    assert "over the limit of DCASE 2020 task 1B: 975,744 bytes (952.9 KB), 463,744 bytes (452.9 KB) too much" in err
    assert "hint: asc-mrkd fit-budget" in err


def test_a_rule_can_be_asked_for_where_the_task_has_none(tmp_path):
    run = write_run(tmp_path / "run", A18, clips=10)
    arguments = (run, A18, TEN, tmp_path / "out")
    with pytest.raises(BudgetError, match=r"over the limit of DCASE 2020 task 1B: 975,744 bytes") as caught:
        make_submission(*arguments, budget=TASK)
    assert caught.value.exit_code == 1
    with pytest.raises(ConfigError, match="there is no rule 'dcase2020-task1c'"):
        make_submission(*arguments, budget="dcase2020-task1c")
    assert not (tmp_path / "out").exists()
    assert make_submission(*arguments, budget=TASK, precision="float16").is_file()


def test_multiply_adds_over_the_limit_are_refused(tmp_path):
    run = write_run(tmp_path / "run", small=True)
    file = load_model(run)
    spec = file.frontend.model_copy(update={"clip_seconds": 600.0})
    save_model(run / "seed0" / "model.safetensors", dataclasses.replace(file, frontend=spec, input_shape=spec.shape))
    with pytest.raises(BudgetError, match=r"over the limit of DCASE 2024 task 1: [0-9,]+ MACs") as caught:
        make_submission(run, TASK, LABEL, tmp_path / "out", budget=A24)
    assert caught.value.exit_code == 1


def test_a_network_is_counted_as_it_is_stored(tmp_path):
    run = write_run(tmp_path / "run", zeros=400)
    save_model(run / "seed0" / "model.safetensors", dataclasses.replace(load_model(run), dtype="float16"))
    steps = ["decompose:factor=4", "prune:amount=0.1,scope=layer", "float16"]
    (run / "seed0" / "compression.json").write_text(json.dumps({"steps": steps, "file_bytes": 1}))
    make_submission(run, TASK, LABEL, tmp_path / "out")
    system = read_meta(tmp_path / "out")["system"]
    assert system["complexity"]["model_size"] == (242_592 - 400) * 2 / 1024
    words = "decomposed convolutions, magnitude pruning, weights stored as float16"
    assert system["description"]["complexity_management"] == words


def test_pruning_while_training_is_reported(tmp_path):
    run = write_run(tmp_path / "run", train={"prune": {"amount": 0.2, "ramp_epochs": 1}})
    make_submission(run, TASK, LABEL, tmp_path / "out", precision="int8")
    words = read_meta(tmp_path / "out")["system"]["description"]["complexity_management"]
    assert words == "magnitude pruning, weights stored as int8"


def test_a_damaged_record_of_the_compression(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "seed0" / "compression.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"compression\.json cannot be read"):
        make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16")


def test_an_int8_network_is_counted_in_its_file(tmp_path):
    pytest.importorskip("onnxruntime")
    from asc_mrkd.compression.quantise import quantise_onnx
    from asc_mrkd.deploy.onnx_file import save_onnx

    run = write_run(tmp_path / "run", small=True)
    seed = run / "seed0"
    float32 = check_budget(seed)
    save_onnx(tmp_path / "float32.onnx", load_model(run))
    inputs = np.random.default_rng(0).standard_normal((4, 1, 2, 24, 32)).astype(np.float32)
    quantise_onnx(tmp_path / "float32.onnx", seed / "model.onnx", iter(inputs))
    (seed / "model.safetensors").unlink()
    (seed / "compression.json").write_text('{"steps": ["int8"]}')
    make_submission(run, TASK, LABEL, tmp_path / "out")
    system = read_meta(tmp_path / "out")["system"]
    assert 1024 * system["complexity"]["model_size"] == check_budget(seed).bytes < float32.bytes / 2
    assert system["description"]["complexity_management"] == "int8 quantisation"
