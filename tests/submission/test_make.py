"""Packages that `make_submission` writes: output, meta file and zip, compared with the predictions of the run."""

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import soundfile
import yaml
from helpers.cli import run_cli
from helpers.submission import write_run

from asc_mrkd.deploy import Prediction, Predictor
from asc_mrkd.errors import BudgetError, ConfigError, DataError, RunError, SubmissionError
from asc_mrkd.features.spec import load_spec
from asc_mrkd.runs import read_predictions
from asc_mrkd.submission import TASKS, check_submission, make, make_submission, system

pytestmark = pytest.mark.slow

TASK, LABEL = "dcase2020-task1b", "Kim_KETI_task1b_1"
SEEDS = {"seed0": 1, "seed1": 2}
AUTHORS = """
submission:
  name: Our system
  authors:
    - {lastname: Kim, firstname: A, email: a@b.c, corresponding: true, affiliation: {institute: KETI}}
    - {lastname: Lee, firstname: B, email: b@b.c, affiliation: {institute: KETI}}
system: {source_code: somewhere}
"""


def errors(problems):
    return [str(problem) for problem in problems if problem.severity == "error"]


def read_output(out, label=LABEL):
    return pd.read_csv(out / "task1" / label / f"{label}.output.csv", sep="\t")


def read_meta(out, label=LABEL):
    return yaml.safe_load((out / "task1" / label / f"{label}.meta.yaml").read_text())


def write_list(run, path):
    names = pd.read_csv(run / "seed0" / "predictions.csv")["filename"]
    path.write_text("filename\n" + "\n".join(names) + "\n")
    return path


def test_rehearsal_is_valid_and_names_what_is_left_to_fill_in(tmp_path):
    run = write_run(tmp_path / "run")
    archive = make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16")
    problems = check_submission(archive, TASK, files=write_list(run, tmp_path / "list.csv"))
    assert errors(problems) == []
    assert {problem.code for problem in problems} == {"placeholder"}
    assert any("firstname" in problem.message for problem in problems)


def test_zip_has_the_official_layout(tmp_path):
    archive = make_submission(write_run(tmp_path / "run"), TASK, LABEL, tmp_path / "out", precision="float16")
    assert archive == tmp_path / "out" / "Kim_KETI_task1b.zip"
    assert sorted(zipfile.ZipFile(archive).namelist()) == [
        f"Kim_KETI_task1b/task1/{LABEL}/{LABEL}.meta.yaml",
        f"Kim_KETI_task1b/task1/{LABEL}/{LABEL}.output.csv",
    ]


def test_systems_of_one_author_share_a_package(tmp_path):
    run = write_run(tmp_path / "run")
    make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16")
    archive = make_submission(run, TASK, "Kim_KETI_task1b_2", tmp_path / "out", precision="float16")
    assert len(zipfile.ZipFile(archive).namelist()) == 4
    assert errors(check_submission(archive, TASK, files=write_list(run, tmp_path / "list.csv"))) == []


def test_output_repeats_the_predictions_of_the_first_seed(tmp_path):
    run = write_run(tmp_path / "run", seeds=SEEDS)
    make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16")
    output, predictions = read_output(tmp_path / "out"), pd.read_csv(run / "seed0" / "predictions.csv")
    assert list(output.columns) == ["filename", "scene_label", "indoor", "outdoor", "transportation"]
    merged = output.merge(predictions, on="filename", suffixes=("", "_run"))
    assert len(merged) == 6
    assert (merged["scene_label"] == merged["prediction"]).all()
    np.testing.assert_allclose(merged["indoor"], merged["indoor_run"], atol=1e-6)


def test_a_seed_folder_submits_that_seed(tmp_path):
    run = write_run(tmp_path / "run", seeds=SEEDS)
    make_submission(run / "seed1", TASK, LABEL, tmp_path / "out", precision="float16")
    predictions = pd.read_csv(run / "seed1" / "predictions.csv").set_index("filename")
    output = read_output(tmp_path / "out").set_index("filename")
    np.testing.assert_allclose(output["indoor"], predictions["indoor"].loc[output.index], atol=1e-6)


def test_ensemble_averages_and_counts_every_network(tmp_path):
    run = write_run(tmp_path / "run", "dcase2018-task1a", clips=20, seeds={"seed0": 1, "seed2": 2, "seed10": 3})
    label = "Kim_KETI_task1a_1"
    make_submission(run, "dcase2018-task1a", label, tmp_path / "out", ensemble=True)
    classes = list(TASKS["dcase2018-task1a"].classes)
    tables = [pd.read_csv(run / s / "predictions.csv").set_index("filename") for s in ("seed0", "seed2", "seed10")]
    expected = sum(table[classes] for table in tables).idxmax(axis=1)
    lines = (tmp_path / "out" / "task1" / label / f"{label}.output.csv").read_text().splitlines()
    assert dict(line.split("\t") for line in lines) == expected.to_dict()
    meta = read_meta(tmp_path / "out", label)
    assert meta["system"]["description"]["ensemble_method_subsystem_count"] == 3
    assert meta["system"]["complexity"] == {"total_parameters": 3 * 247_316}


def test_ensemble_over_the_limit_is_refused(tmp_path):
    run = write_run(tmp_path / "run", seeds=SEEDS)
    arguments = (TASK, LABEL, tmp_path / "out")
    with pytest.raises(BudgetError, match=r"970,368 bytes.*, 458,368 bytes .* too much") as caught:
        make_submission(run, *arguments, ensemble=True, precision="float16")
    assert caught.value.hint == "submit one seed instead of all"
    with pytest.raises(BudgetError, match=r"970,368 bytes.*, 458,368 bytes .* too much") as caught:
        make_submission(run, *arguments)
    assert caught.value.hint == f"asc-mrkd fit-budget {run} --rule {TASK} --out exp/small", (
        "without --out it writes nothing"
    )
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
    make_submission(run, *arguments, ensemble=True, precision="int8")
    assert read_meta(tmp_path / "out")["system"]["complexity"]["model_size"] == 2 * 242_592 / 1024


def test_meta_describes_the_run(tmp_path):
    make_submission(write_run(tmp_path / "run", zeros=400), TASK, LABEL, tmp_path / "out", precision="float16")
    meta = read_meta(tmp_path / "out")
    assert meta["system"]["complexity"] == {
        "total_parameters": 245_958,
        "total_parameters_non_zero": 245_558,
        "model_size": (242_592 - 400) * 2 / 1024,
    }
    description = meta["system"]["description"]
    assert description["input_sampling_rate"] == "22.05kHz"
    assert description["acoustic_features"] == "perceptually weighted log-mel energies (256 bands)"
    assert description["data_augmentation"] == "mixup"
    assert "(cp_resnet_damped), MrKD" in description["machine_learning_method"]
    assert description["complexity_management"] == "weights stored as float16"


def test_meta_has_the_scores_scikit_learn_computes(tmp_path):
    run = write_run(tmp_path / "run", clips=30)
    make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16")
    results = read_meta(tmp_path / "out")["results"]["development_dataset"]
    truth = read_predictions(run / "seed0" / "predictions.csv")
    table = truth.table
    recall = sklearn.metrics.recall_score(table["label"], table["prediction"], average=None, labels=truth.classes)
    assert results["overall"]["accuracy"] == pytest.approx(100 * recall.mean(), abs=0.005)
    log_loss = sklearn.metrics.log_loss(table["label"], truth.probabilities, labels=list(truth.classes))
    assert results["overall"]["logloss"] == pytest.approx(log_loss, abs=5e-5)
    by_class = [results["class_wise"][name]["accuracy"] for name in truth.classes]
    np.testing.assert_allclose(by_class, 100 * recall, atol=0.005)


def test_scores_are_rounded_as_in_the_tables():
    assert system.rounded_scores(0.00125, 1.0) == {"accuracy": 0.13, "logloss": 1.0}


def test_authors_file_replaces_the_placeholders(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "authors.yaml").write_text(AUTHORS)
    archive = make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16", meta=tmp_path / "authors.yaml")
    assert check_submission(archive, TASK, files=write_list(run, tmp_path / "list.csv")) == []
    meta = read_meta(tmp_path / "out")
    assert (meta["submission"]["name"], meta["submission"]["label"]) == ("Our system", LABEL)
    assert meta["system"]["source_code"] == "somewhere"
    assert meta["system"]["complexity"]["total_parameters"] == 245_958


def test_unknown_block_of_the_authors_file(tmp_path):
    (tmp_path / "authors.yaml").write_text("submision: {name: x}\n")
    with pytest.raises(ConfigError) as caught:
        make_submission(
            write_run(tmp_path / "run"),
            TASK,
            LABEL,
            tmp_path / "out",
            precision="float16",
            meta=tmp_path / "authors.yaml",
        )
    assert caught.value.hint == "did you mean 'submission'?"


@pytest.mark.parametrize(("text", "block"), [("system:\n", "system"), ("system: {complexity: 5}\n", "complexity")])
def test_an_empty_block_of_the_authors_file_removes_nothing(tmp_path, text, block):
    (tmp_path / "authors.yaml").write_text(text)
    run = write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=f"'{block}' of the meta file is a block"):
        make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16", meta=tmp_path / "authors.yaml")
    assert not (tmp_path / "out").exists()


class CountingPredictor:
    """Stands for Predictor: clip n.wav is outdoor with probability 0.5 + n / 100."""

    classes = TASKS[TASK].classes

    def __init__(self, networks):
        assert [network.name for network in networks] == ["seed0"]

    def predict_files(self, files, top):
        for file in files:
            p = 0.5 + int(file.stem) / 100
            yield Prediction(file, ["outdoor", "indoor", "transportation"][:top], [p, 1 - p, 0.0])


def test_official_recordings_are_predicted_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "Predictor", CountingPredictor)
    (tmp_path / "set" / "audio").mkdir(parents=True)
    for index in range(12):
        (tmp_path / "set" / "audio" / f"{index}.wav").touch()
    run = write_run(tmp_path / "run")
    for audio in (tmp_path / "set", tmp_path / "set" / "audio"):
        archive = make_submission(run, TASK, LABEL, tmp_path / "out", precision="float16", audio=audio)
        output = read_output(tmp_path / "out")
        assert list(output["filename"]) == [f"audio/{index}.wav" for index in range(12)]
        np.testing.assert_allclose(output["outdoor"], 0.5 + np.arange(12) / 100)
    (problem,) = [p for p in check_submission(archive, TASK) if p.severity == "error"]
    assert problem.code == "missing-files"
    assert "8628 of 8640" in problem.message


def test_empty_audio_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "Predictor", CountingPredictor)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.wav file"):
        make_submission(
            write_run(tmp_path / "run"), TASK, LABEL, tmp_path / "out", precision="float16", audio=tmp_path / "empty"
        )


@pytest.mark.parametrize("label", ["Kim_KETI_task1a_1", "Kim_KETI_task1b_5", "Kim_task1b_1", "K.m_KETI_task1b_1", ""])
def test_bad_labels_are_refused(tmp_path, label):
    with pytest.raises(SubmissionError, match="not a label") as caught:
        make_submission(write_run(tmp_path / "run"), TASK, label, tmp_path / "out")
    assert "Lastname_INSTITUTE_task1b_N" in caught.value.hint


def test_classes_of_another_task(tmp_path):
    with pytest.raises(SubmissionError, match="those of DCASE 2018 task 1A are airport") as caught:
        make_submission(write_run(tmp_path / "run"), "dcase2018-task1a", "Kim_KETI_task1a_1", tmp_path / "out")
    assert caught.value.hint == "choose another --task: asc-mrkd submit tasks"


def test_unknown_task(tmp_path):
    with pytest.raises(ConfigError) as caught:
        make_submission(tmp_path, "dcase2020-task1", LABEL, tmp_path)
    assert caught.value.hint == "did you mean 'dcase2020-task1b'?"


def test_run_without_a_finished_seed(tmp_path):
    with pytest.raises(RunError, match="no seed is finished"):
        make_submission(tmp_path, TASK, LABEL, tmp_path / "out", precision="float16")


def write_evaluation(folder, seconds=0.5):
    """Write a set whose clips 2 and 3 cannot be used, with a companion of macOS and a name in capitals."""
    audio = folder / "audio"
    audio.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("0.wav", "1.wav", "4.WAV"):
        soundfile.write(audio / name, rng.uniform(-0.5, 0.5, (int(8000 * seconds), 2)), 8000, format="WAV")
    soundfile.write(audio / "2.wav", np.zeros((int(8000 * seconds), 2)), 8000)
    soundfile.write(audio / "3.wav", np.zeros((0, 2)), 8000)
    (audio / "._0.wav").write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(40))
    (audio / "notes.txt").write_text("not a clip")
    return folder


def test_s2_recordings_that_cannot_be_used_get_a_row(tmp_path):
    run = write_run(tmp_path / "run", clips=8, small=True)
    (tmp_path / "list.csv").write_text("".join(f"{number}.wav\n" for number in range(5)))
    command = "submit", "make", run, "--task", TASK, "--label", LABEL, "--audio", write_evaluation(tmp_path / "set")
    for choice, expected in (("prior", [3 / 8, 3 / 8, 2 / 8]), ("even", [1 / 3] * 3)):
        code, out, err = run_cli(*command, "--out", tmp_path / choice, "--unreadable", choice)
        assert (code, out.strip()) == (0, str(tmp_path / choice / "Kim_KETI_task1b.zip"))
        assert "3.wav" in err
        assert "4.WAV" not in err
        output = read_output(tmp_path / choice).set_index("filename")
        assert list(output.index) == [f"audio/{number}.wav" for number in range(5)]
        np.testing.assert_allclose(output.loc["audio/3.wav"].iloc[1:].astype(float), expected, atol=1e-6)
        assert errors(check_submission(tmp_path / choice, TASK, tmp_path / "list.csv")) == []
    code, _, err = run_cli(*command, "--out", tmp_path / "x", "--unreadable", "priior")
    assert (code, "did you mean 'prior'?" in err, (tmp_path / "x").exists()) == (2, True, False)


def test_s2_many_recordings_are_predicted_in_parallel(tmp_path):
    run = write_run(tmp_path / "run", small=True, seeds=SEEDS)
    audio = write_evaluation(tmp_path / "set") / "audio"
    for number in range(5, 40):
        shutil.copyfile(audio / f"{number % 2}.wav", audio / f"{number}.wav")
    said = []
    for folder, ensemble in (("one", False), ("all", True)):
        make_submission(run, TASK, LABEL, tmp_path / folder, audio=audio, ensemble=ensemble, tell=said.append)
        output = read_output(tmp_path / folder).set_index("filename")
        assert list(output.index) == [f"audio/{number}.wav" for number in range(40)]
        expected = Predictor(run).predict_file(audio / "6.wav")
        np.testing.assert_allclose(output.loc["audio/6.wav"].iloc[1:].astype(float), expected, atol=2e-6)
    assert sum("3.wav" in sentence for sentence in said) == 2


def test_s2_a_set_without_a_usable_recording_is_an_error(tmp_path):
    run = write_run(tmp_path / "run", small=True)
    (tmp_path / "set").mkdir()
    for name in ("0.wav", "1.wav"):
        (tmp_path / "set" / name).write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"0\.wav"):
        make_submission(run, TASK, LABEL, tmp_path / "out", audio=tmp_path / "set")
    (tmp_path / "set" / "1.WAV").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"holds both 1\.WAV and 1\.wav"):
        make_submission(run, TASK, LABEL, tmp_path / "out", audio=tmp_path / "set")
    with pytest.raises(DataError, match="is not a folder"):
        make_submission(run, TASK, LABEL, tmp_path / "out", audio=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_f1_8_the_seed_that_is_taken_and_the_alternatives_are_said(tmp_path):
    run = write_run(tmp_path / "run", clips=40, seeds={"seed0": 1, "seed2": 2, "seed10": 3}, small=True)
    found = {}
    for seed in ("seed0", "seed2", "seed10"):
        table = read_predictions(run / seed / "predictions.csv").table
        recall = sklearn.metrics.recall_score(table["label"], table["prediction"], average="macro")
        found[seed] = f"{seed} {100 * recall:.1f} %"
    command = "submit", "make", run, "--task", TASK, "--label", LABEL, "--out", tmp_path / "out"
    _, _, err = run_cli(*command)
    assert f"{run}: {found['seed0']} on the test clips (macro accuracy), the lowest seed; there are also" in err
    assert f"{found['seed2']}, {found['seed10']}, all 3 seeds averaged (--ensemble) " in err
    _, _, err = run_cli(*command, "--ensemble")
    assert f"alone: {', '.join(found.values())}" in err
    _, _, err = run_cli("submit", "make", run / "seed2", *command[3:])
    assert f"{found['seed2']} on the test clips" in err
    (run / "seed10" / "predictions.csv").write_text("damaged")
    assert run_cli(*command).code == 0


@pytest.mark.parametrize("ensemble", [False, True])
def test_every_file_of_predictions_is_read_once(tmp_path, monkeypatch, ensemble):
    run = write_run(tmp_path / "run", seeds=SEEDS, small=True)
    read = []
    monkeypatch.setattr(
        system, "read_predictions", lambda path: read.append(path.parent.name) or read_predictions(path)
    )
    system.load_system(run, TASKS[TASK], None, ensemble)
    assert read == ["seed0", "seed1"]


def test_f1_11_the_meta_file_describes_the_front_end_of_the_run(tmp_path):
    make_submission(write_run(tmp_path / "run", small=True), TASK, LABEL, tmp_path / "out")
    for name, words in (("baseline40", "log-mel magnitudes (40 bands)"), ("logmel256", "log-mel energies (256 bands)")):
        assert load_spec(name).description == words
    description = read_meta(tmp_path / "out")["system"]["description"]
    assert description["acoustic_features"] == "perceptually weighted log-mel energies (24 bands)"
    assert description["input_sampling_rate"] == "8kHz"


def test_f3_7_a_missing_label_is_asked_for(tmp_path):
    code, _, err = run_cli("submit", "make", write_run(tmp_path / "run", small=True), "--out", tmp_path / "out")
    assert code == 2
    assert "an entry needs a label" in err
    assert "hint: --label Lastname_INSTITUTE_task1b_N with N from 1 to 4" in err
