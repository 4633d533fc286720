"""Trained teachers in a run: what they see, stored answers, the identity of a run, exact continuation."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_cli
from helpers.data import SPEC
from helpers.engine import train_run

from asc_mrkd.deploy.model_file import load_model, save_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.engine.teachers import NetworkTeacher, stored_logits
from asc_mrkd.engine.training import train
from asc_mrkd.errors import ConfigError, DataError, InterruptedRun, RunError
from asc_mrkd.methods import load_experiment
from asc_mrkd.runs import RunFolder, read_metrics

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SHORT = "train.epochs=2", "train.evaluate_every=0", "train.threads=1"
PLAIN = "augment={roll_frames: 0}"


def content(out):
    return [(out / "seed0" / name).read_bytes() for name in ("model.safetensors", "predictions.csv")]


def kd(*files, **options):
    section = {"name": "kd", "teacher_files": [str(file) for file in files], **options}
    return f"method={json.dumps(section)}"


def changed_copy(path, folder, **changes):
    """Write a copy of a trained network with other fields and return its path."""
    file = load_model(path)
    copy = folder / "copy.safetensors"
    save_model(copy, type(file)(**{**vars(file), **changes}))
    return copy


@pytest.fixture
def answers(trained, store, tmp_path, conf):
    """A table of the probabilities that the trained network gives the training clips, in another order."""
    data = open_data(load_experiment(conf).data)
    samples = data.load(CPU).train
    probabilities = predict(load_model(trained).model, samples)
    names = [name.rpartition("/")[2] for name in samples.table["filename"]]
    table = pd.DataFrame(probabilities, columns=data.classes)
    table.insert(0, "filename", [f"elsewhere/{name}" for name in names])
    table[::-1].to_csv(tmp_path / "teacher.csv", index=False)
    return tmp_path / "teacher.csv"


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({}, []),
        ({"teachers": "cached", "ramp": "linear"}, [PLAIN]),
        ({"variant": "mrkd", "loss": "dkd", "standardise": True}, []),
    ],
)
def test_a_stopped_run_ends_in_the_same_bits(conf, trained, tmp_path, options, others):
    overrides = [kd(trained, **options), *SHORT, *others]
    whole = train_run(conf, tmp_path / "whole", *overrides)
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "parts", *overrides, stop_after=5)
    assert content(train_run(conf, tmp_path / "parts", *overrides)) == content(whole)
    assert np.isfinite(read_metrics(RunFolder(whole).metrics_file)["teacher_kd"]).all()


def test_a_run_knows_its_teachers_by_their_content(conf, trained, tmp_path):
    out = train_run(conf, tmp_path / "run", kd(trained), *SHORT)
    [digest] = RunFolder(out).experiment.method.options["teacher_digests"]
    assert len(digest) == 64
    moved = changed_copy(trained, tmp_path)
    train_run(conf, out, kd(moved), *SHORT)  # the same teacher at another place
    file = load_model(trained)
    other = changed_copy(trained, tmp_path, mean=file.mean + 1)
    with pytest.raises(RunError, match=r"holds another experiment: method\.teacher_digests is"):
        train_run(conf, out, kd(other), *SHORT)
    with pytest.raises(ConfigError, match="are not those that this experiment belongs to"):
        train_run(conf, tmp_path / "new", kd(other, teacher_digests=[digest]), *SHORT)
    assert not (tmp_path / "new").exists()


def test_a_teacher_that_changes_between_two_seeds_is_refused(conf, trained, tmp_path):
    teacher = changed_copy(trained, tmp_path)

    def change_teacher() -> bool:
        changed_copy(trained, tmp_path, mean=load_model(trained).mean + 1)
        return False

    experiment = load_experiment(conf, [kd(teacher), *SHORT])
    with pytest.raises(ConfigError, match="are not those that this experiment belongs to"):
        train(experiment, tmp_path / "run", [0, 1], should_stop=change_teacher)
    assert RunFolder(tmp_path / "run").finished_seeds() == [0]


def test_a_teacher_sees_what_it_was_trained_on(conf, trained, tmp_path):
    """The statistics of the student are replaced by its own: its logits are those of the model file alone."""
    samples = open_data(load_experiment(conf).data).load(CPU).train
    raw = samples.gather(slice(0, 4))
    file = load_model(trained)
    for shift in (0.0, 2.0):
        shifted = load_model(changed_copy(trained, tmp_path, mean=file.mean + np.float32(shift)))
        teacher = NetworkTeacher(shifted, samples)
        with torch.no_grad():
            expected = shifted.model(shifted.normalise(raw.numpy()))
            found = teacher(samples.normalise(raw), torch.arange(4))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def onnx_teacher(trained, tmp_path):
    """The trained network as an .onnx file."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from asc_mrkd.deploy.onnx_file import save_onnx

    save_onnx(tmp_path / "teacher.onnx", load_model(trained))
    return tmp_path / "teacher.onnx"


def test_an_onnx_file_teaches_like_its_network(conf, trained, onnx_teacher, tmp_path):
    samples = open_data(load_experiment(conf).data).load(CPU).train
    x = samples.normalise(samples.gather(slice(0, 7)))
    with torch.no_grad():
        logits = [NetworkTeacher(load_model(path), samples)(x, torch.arange(7)) for path in (trained, onnx_teacher)]
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)

    losses = {}
    for path in (trained, onnx_teacher):
        out = train_run(
            conf, tmp_path / f"taught by {path.stem}", kd(path, label_weight=0.0, weight=1.0), *SHORT, PLAIN
        )
        losses[path] = read_metrics(RunFolder(out).metrics_file)["teacher_kd"].to_numpy()
    np.testing.assert_allclose(losses[onnx_teacher], losses[trained], rtol=1e-3)
    assert losses[trained][-1] != losses[trained][0], "the student learns"


def test_an_onnx_file_takes_no_cut_inputs(conf, onnx_teacher, tmp_path):
    with pytest.raises(ConfigError, match=r"takes inputs of 2 x 24 x 32 alone, which augment\.crop_frames") as error:
        train_run(conf, tmp_path / "run", kd(onnx_teacher), *SHORT, "augment.crop_frames=24")
    assert error.value.hint == "write augment.crop_frames=null, or name the run that was exported"
    assert not (tmp_path / "run").exists()


def test_stored_answers_teach_like_their_network(conf, trained, answers, tmp_path):
    experiment = load_experiment(conf, [PLAIN, *SHORT, kd(answers)])
    samples = open_data(experiment.data).load(CPU).train
    stored = Trainer(experiment, 0, samples, 3).method.teacher
    live = Trainer(load_experiment(conf, [PLAIN, kd(trained)]), 0, samples, 3).method.teacher
    index = torch.tensor([5, 0, 3])
    x = samples.normalise(samples.gather(index))
    found, expected = (one.run(0, x, {"index": index}).log_softmax(1) for one in (stored, live))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    out = train_run(conf, tmp_path / "run", PLAIN, *SHORT, kd(answers))
    assert RunFolder(out).finished_seeds() == [0]


def test_stored_answers_need_clips_with_different_names(answers):
    with pytest.raises(DataError, match=r"several training clips are called 001\.wav"):
        stored_logits(answers, ["bus/001.wav", "tram/002.wav", "tram/001.wav"], 3)


def test_teachers_that_do_not_fit_are_refused_before_anything_is_written(conf, trained, answers, tmp_path):
    elsewhere = SPEC.model_copy(update={"fmax": 3000.0})
    table = pd.read_csv(answers)
    wrong = tmp_path / "wrong.csv"
    cases = [
        ({"classes": ["bus", "park", "train"]}, None, "has other classes than the data"),
        ({"frontend": elsewhere}, None, "has another front end than"),
        (None, table.rename(columns={"tram": "train"}), "are not the classes bus, park, tram"),
        (None, table.drop(columns="filename"), "is not a table of probabilities by clip"),
        (None, table.assign(bus=2.0), "has no valid probabilities"),
        (None, pd.concat([table, table[:1]]), "has two rows for"),
    ]
    for fields, rows, message in cases:
        if fields is not None:
            wrong = changed_copy(trained, tmp_path, **fields)
        else:
            wrong = tmp_path / "wrong.csv"
            rows.to_csv(wrong, index=False)
        with pytest.raises(ConfigError, match=message) as error:
            train_run(conf, tmp_path / "run", PLAIN, *SHORT, kd(wrong))
        assert error.value.hint
    assert not (tmp_path / "run").exists()
    table[["filename", "bus", "park", "tram"]][:1].assign(filename="a.wav").to_csv(wrong, index=False)
    with pytest.raises(DataError, match=r"lacks 1 of 2 training clips, first b\.wav"):
        stored_logits(wrong, ["audio/a.wav", "audio/b.wav"], 3)


def test_predict_prints_the_table_of_a_stored_teacher(trained, tmp_path):
    import soundfile

    tone = np.random.default_rng(0).uniform(-0.1, 0.1, (4000, 2))
    for name in ("one.wav", "two, three.wav"):
        soundfile.write(tmp_path / name, tone, 8000)
    code, out, _ = run_cli("predict", trained, tmp_path, "--csv", "--workers", "1")
    (tmp_path / "table.csv").write_text(out)
    logits = stored_logits(tmp_path / "table.csv", ["audio/one.wav", "audio/two, three.wav"], 3)
    assert code == 0
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
