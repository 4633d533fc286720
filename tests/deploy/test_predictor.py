"""The predictor: one model file, recordings of any rate, channel count and length."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile as sf
import torch
from helpers.cli import run_cli, run_json
from helpers.progress import RecordedProgress

from asc_mrkd import Predictor
from asc_mrkd.cli.answers import json_lines
from asc_mrkd.config.domain import CLIP_COLUMNS
from asc_mrkd.deploy import Prediction, describe_choice, inputs
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.errors import AudioError, ConfigError, DamagedFileError, DataError, ModelError, RunError
from asc_mrkd.features import Frontend, FrontendSpec
from asc_mrkd.models import build_model
from asc_mrkd.runs import write_predictions

SPEC = FrontendSpec(
    name="small", sample_rate=16_000, channels=2, clip_seconds=10, n_fft=512, hop_length=256, n_mels=32, fmax=8000
)
CLASSES = ["bus", "park", "tram"]
OPTIONS = {"width": 4, "rho": 3, "blocks": [2, 1, 0]}
MEAN = np.linspace(-5, -1, 32, dtype=np.float32).reshape(1, -1, 1)
STD = np.linspace(0.4, 0.8, 32, dtype=np.float32).reshape(1, -1, 1)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """A network whose answer depends on its input."""
    torch.manual_seed(0)
    network = build_model("cp_resnet", num_classes=3, **OPTIONS).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def model_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": OPTIONS}
    save_model(path, ModelFile(network, architecture, CLASSES, SPEC.shape, MEAN, STD, SPEC))
    return path


@pytest.fixture(scope="module")
def predictor(model_file) -> Predictor:
    return Predictor(model_file)


def sound(seconds: float, rate: int = SPEC.sample_rate, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Return noise (sample, channel) below a cutoff that depends on the seed."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((round(seconds * rate), channels))
    return 0.1 * scipy.signal.lfilter(*scipy.signal.butter(4, 0.9 / 4**seed), noise, axis=0)


def test_a_clip_gives_what_the_network_gives_on_its_features(predictor, network, tmp_path):
    answers = []
    for seed in range(3):
        sf.write(tmp_path / "clip.wav", sound(10, seed=seed), SPEC.sample_rate, subtype="FLOAT")
        features = Frontend(SPEC).from_file(tmp_path / "clip.wav", expected_seconds=10)
        assert features.shape == SPEC.shape
        with torch.no_grad():
            logits = network(torch.from_numpy((features - MEAN) / STD)[None])
        answers.append(predictor.predict_file(tmp_path / "clip.wav"))
        np.testing.assert_allclose(answers[-1], logits.double().softmax(1)[0], rtol=0, atol=1e-6)
    assert np.ptp(answers, axis=0).max() > 0.01, "the network does not listen"
    assert predictor.classes == CLASSES


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(8_000, 1, 0.3), (96_000, 6, 10), (44_100, 2, 25), (16_000, 1, 0.01)]
)
def test_any_rate_channel_count_and_length(predictor, tmp_path, rate, channels, seconds):
    sf.write(tmp_path / "any.wav", sound(seconds, rate, channels), rate)
    probabilities = predictor.predict_file(tmp_path / "any.wav")
    assert probabilities.shape == (3,)
    assert probabilities.dtype == np.float64
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_a_long_recording_is_the_mean_of_its_clips(predictor, tmp_path):
    whole = np.concatenate([sound(10, seed=0), sound(10, seed=2), sound(5, seed=1)])
    sf.write(tmp_path / "whole.wav", whole, SPEC.sample_rate, subtype="FLOAT")
    clips = []
    for start in (0, 10, 15):
        clip = whole[start * SPEC.sample_rate : (start + 10) * SPEC.sample_rate]
        sf.write(tmp_path / "clip.wav", clip, SPEC.sample_rate, subtype="FLOAT")
        clips.append(predictor.predict_file(tmp_path / "clip.wav"))
    assert np.ptp(clips, axis=0).max() > 0.01, "the clips do not differ"
    np.testing.assert_allclose(predictor.predict_file(tmp_path / "whole.wav"), np.mean(clips, axis=0), atol=1e-7)


def test_a_short_recording_is_repeated(predictor, tmp_path):
    short = sound(2.5)
    sf.write(tmp_path / "short.wav", short, SPEC.sample_rate, subtype="FLOAT")
    sf.write(tmp_path / "clip.wav", np.tile(short, (4, 1)), SPEC.sample_rate, subtype="FLOAT")
    short, clip = (predictor.predict_file(tmp_path / name) for name in ("short.wav", "clip.wav"))
    np.testing.assert_allclose(short, clip, atol=1e-7)


def test_mono_is_heard_on_both_sides(predictor, tmp_path):
    mono = sound(10, channels=1)
    sf.write(tmp_path / "mono.wav", mono, SPEC.sample_rate, subtype="FLOAT")
    sf.write(tmp_path / "stereo.wav", np.repeat(mono, 2, axis=1), SPEC.sample_rate, subtype="FLOAT")
    mono, stereo = (predictor.predict_file(tmp_path / name) for name in ("mono.wav", "stereo.wav"))
    np.testing.assert_allclose(mono, stereo, atol=1e-7)


def test_a_recording_that_cannot_be_used_says_why(predictor, tmp_path):
    sf.write(tmp_path / "silent.wav", np.zeros((8000, 1)), 8000)
    (tmp_path / "notes.wav").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    for name, reason in (("silent", "silent"), ("notes", "not_audio"), ("empty", "empty"), ("nowhere", "missing")):
        with pytest.raises(AudioError, match=rf"{name}\.wav") as caught:
            predictor.predict_file(tmp_path / f"{name}.wav")
        assert caught.value.reason == reason


@pytest.fixture
def recordings(tmp_path):
    """A folder with two recordings and a file that is not one."""
    folder = tmp_path / "recordings"
    (folder / "monday").mkdir(parents=True)
    sf.write(folder / "monday" / "a.wav", sound(10, seed=0), SPEC.sample_rate)
    sf.write(folder / "b.flac", sound(3, seed=1), SPEC.sample_rate)
    (folder / "notes.wav").write_text("no sound")
    return folder


def test_predict_folder(predictor, recordings):
    progress = RecordedProgress()
    result = predictor.predict_folder(recordings, top=2, progress=progress)
    assert [prediction.file.name for prediction in result.predictions] == ["b.flac", "a.wav"]
    assert progress.tasks == [("predicting", 3, "files", 0, [1, 1, 1])]
    assert [type(error) for error in result.failures] == [AudioError]
    assert "notes.wav" in str(result.failures[0])
    for prediction in result.predictions:
        probabilities = predictor.predict_file(prediction.file)
        np.testing.assert_allclose(prediction.probabilities, sorted(probabilities, reverse=True)[:2], rtol=0, atol=1e-6)
        assert prediction.classes == [CLASSES[i] for i in (-probabilities).argsort(kind="stable")[:2]]


def test_of_equal_classes_the_first_is_the_answer(network, tmp_path):
    undecided = copy.deepcopy(network)
    for parameter in undecided.parameters():
        parameter.data.zero_()
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": OPTIONS}
    save_model(tmp_path / "m.safetensors", ModelFile(undecided, architecture, CLASSES, SPEC.shape, MEAN, STD, SPEC))
    predictor = Predictor(tmp_path / "m.safetensors")
    samples = sound(10).T
    assert predictor.predict(samples, rate=SPEC.sample_rate).classes == CLASSES
    (line,) = json_lines(predictor.time_line(samples, every=10, rate=SPEC.sample_rate), predictor, 1, True)
    assert json.loads(line[1:])["time_line"][0]["scenes"][0]["scene"] == CLASSES[0]


def test_several_networks_are_averaged_over_features_that_are_computed_once(
    predictor, network, model_file, recordings, tmp_path, monkeypatch
):
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-1)
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": OPTIONS}
    file = ModelFile(other, architecture, CLASSES, SPEC.shape, MEAN / 2, STD, SPEC)
    save_model(tmp_path / "other.safetensors", file)
    save_model(tmp_path / "named.safetensors", replace(file, classes=["bus", "tram", "park"]))
    both = Predictor([model_file, tmp_path / "other.safetensors"])
    second = Predictor(tmp_path / "other.safetensors")
    alone = [one.predict_file(recordings / "b.flac") for one in (predictor, second)]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    clips = []
    compute = Frontend.__call__
    monkeypatch.setattr(Frontend, "__call__", lambda *args: clips.append(1) or compute(*args))
    np.testing.assert_allclose(both.predict_file(recordings / "b.flac"), np.mean(alone, axis=0), rtol=0, atol=1e-12)
    assert len(clips) == 1
    (answer,) = both.predict_files([recordings / "b.flac"], embeddings=True)
    assert answer.embedding.shape == (2 * predictor.predict(recordings / "b.flac", embeddings=True).embedding.size,)
    with pytest.raises(ModelError, match=r"named\.safetensors and .* have other classes"):
        Predictor([model_file, tmp_path / "named.safetensors"])


def test_wrong_arguments_are_named(predictor):
    with pytest.raises(ModelError, match="no network is given"):
        Predictor([])
    samples = sound(10).T.astype(np.float32)
    for wrong in (samples[:, :-1], samples[:1], samples[0]):
        with pytest.raises(DataError, match=r"is not one of \(2, 160000\)"):
            predictor.predict_samples(wrong)
    for top in (0, -1):
        with pytest.raises(ConfigError, match=f"top={top}"):
            predictor.predict(samples, rate=SPEC.sample_rate, top=top)
    with pytest.raises(ConfigError, match="embeddings='no' is neither True nor False"):
        predictor.predict(samples, rate=SPEC.sample_rate, embeddings="no")


def test_a_network_that_gives_nan_has_no_answer(predictor, recordings, monkeypatch):
    def outputs(inputs: list[np.ndarray], embeddings: bool) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(inputs), len(predictor.classes)), np.nan), np.empty((len(inputs), 0))

    monkeypatch.setattr(predictor._classifiers[0], "outputs", outputs)
    files = predictor.find_files(recordings).files
    answers = list(predictor.predict_files(files, workers=1))
    assert any("the network gives NaN" in str(answer) and isinstance(answer, DataError) for answer in answers)
    assert not any(isinstance(answer, Prediction) for answer in answers)
    for ask in (predictor.predict_file, predictor.predict, predictor.time_line):
        with pytest.raises(DataError, match="the network gives NaN"):
            ask(files[0])


@pytest.mark.parametrize("samples", [480_002, 479_998])
def test_a_length_a_few_samples_off_is_one_clip_as_in_the_extraction(predictor, tmp_path, samples):
    noise = sound(10.1, 48_000)[:samples]
    sf.write(tmp_path / "a.wav", noise, 48_000, subtype="FLOAT")
    fitted = np.pad(noise, ((0, 2), (0, 0)))[:480_000]
    sf.write(tmp_path / "b.wav", fitted, 48_000, subtype="FLOAT")
    clips, _ = predictor._preparation.read(tmp_path / "a.wav")
    assert [clip.shape for clip in clips] == [(2, SPEC.samples)]
    found, expected = (predictor.predict_file(tmp_path / name) for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_predict_folder_takes_files_and_folders(predictor, recordings, tmp_path):
    files = [recordings / "b.flac", recordings / "monday"]
    assert [p.file.name for p in predictor.predict_folder(files).predictions] == ["b.flac", "a.wav"]
    with pytest.raises(AudioError, match=r"notes\.wav"):
        predictor.predict_folder(recordings / "notes.wav")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file that ends in"):
        predictor.predict_folder([recordings, tmp_path / "empty"])


def test_too_few_channels_name_the_file(tmp_path):
    spec = SPEC.model_copy(update={"channels": 4})
    options = OPTIONS | {"in_channels": 4}
    network = build_model("cp_resnet", num_classes=3, **options)
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": options}
    save_model(tmp_path / "m.safetensors", ModelFile(network, architecture, CLASSES, spec.shape, MEAN, STD, spec))
    sf.write(tmp_path / "stereo.wav", sound(10), SPEC.sample_rate)
    with pytest.raises(AudioError, match=r"stereo\.wav") as caught:
        Predictor(tmp_path / "m.safetensors").predict_file(tmp_path / "stereo.wav")
    assert caught.value.reason == "wrong_channels"


def test_a_model_that_cannot_be_used(tmp_path, model_file):
    (tmp_path / "half.safetensors").write_bytes(model_file.read_bytes()[:5000])
    with pytest.raises(DamagedFileError, match=r"half\.safetensors"):
        Predictor(tmp_path / "half.safetensors")
    with pytest.raises(RunError, match="no trained model"):
        Predictor(tmp_path / "run")


def test_a_run_folder_stands_for_its_lowest_seed(trained):
    assert Predictor(trained).classes == Predictor(trained / "seed0" / "model.safetensors").classes == CLASSES


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_f3_10_many_files_are_answered_in_order_as_one_by_one(predictor, tmp_path, workers):
    for number in range(40):
        sf.write(tmp_path / f"{number:02}.wav", sound(0.5 + number % 3, seed=number % 3), SPEC.sample_rate)
    (tmp_path / "07.wav").write_text("no sound")
    sf.write(tmp_path / "11.wav", sound(25), SPEC.sample_rate)
    files = predictor.find_files(tmp_path).files
    answers = list(predictor.predict_files(files, top=3, workers=workers))
    assert isinstance(answers.pop(7), AudioError)
    del files[7]
    assert [answer.file for answer in answers] == files
    for answer in answers:
        expected = sorted(predictor.predict_file(answer.file), reverse=True)
        np.testing.assert_allclose(answer.probabilities, expected, rtol=0, atol=1e-6)


def test_f3_10_answers_come_before_the_last_file_is_read(predictor, recordings, monkeypatch):
    monkeypatch.setattr(predictor, "_batch_size", 1)
    answers = predictor.predict_files([recordings / "b.flac", recordings / "nowhere.wav"])
    assert next(answers).file.name == "b.flac"


def test_f3_10_recordings_too_long_for_a_worker_are_answered_too(predictor, recordings, monkeypatch):
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 1)
    sf.write(recordings / "long.wav", sound(25), SPEC.sample_rate)
    (answer,) = predictor.predict_files([recordings / "long.wav"], top=3)
    assert answer.probabilities == sorted(predictor.predict_file(recordings / "long.wav"), reverse=True)


def test_a_recording_too_long_for_a_worker_takes_no_space_from_the_next(predictor, recordings, monkeypatch):
    sf.write(recordings / "long.wav", sound(35), SPEC.sample_rate)
    sf.write(recordings / "two.wav", sound(20), SPEC.sample_rate)
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 2 * predictor._preparation.input_bytes)
    paths = [recordings / name for name in ("long.wav", "two.wav", "two.wav")]
    prepared = inputs.prepare_files(paths, predictor._preparation)
    assert [part.inputs is None for part in prepared] == [True, False, True]


def cautions(predictor: Predictor, path, *shape) -> dict[str, str]:
    """Return the cautions for noise of this length (s), rate (Hz) and number of channels, by their kind."""
    sf.write(path / "a.wav", sound(*shape), shape[1])
    (answer,) = predictor.predict_files([path / "a.wav"])
    assert isinstance(answer, Prediction)
    return {caution.kind: caution.text for caution in answer.cautions}


def test_f1_15_recordings_unlike_the_training_data_are_not_taken_silently(predictor, tmp_path):
    assert cautions(predictor, tmp_path, 10, 16_000, 2) == {}
    assert cautions(predictor, tmp_path, 25, 48_000, 2) == {}
    found = cautions(predictor, tmp_path, 1, 8_000, 1)
    assert "it has 1 channel, the network was trained on 2" in found["channels"]
    assert "it lasts 1 s, the network was trained on 10 s: it is repeated" in found["length"]
    assert "holds nothing above 4,000 Hz, the network was trained up to 8,000 Hz" in found["bandwidth"]
    assert "it has 6 channels" in cautions(predictor, tmp_path, 10, 16_000, 6)["channels"]


def test_f1_15_the_verb_warns_once_per_kind_and_names_all_in_json(trained, tmp_path):
    for name in ("a", "b"):
        sf.write(tmp_path / f"{name}.wav", sound(0.25, 8000, 1), 8000)
    outcome = run_cli("predict", trained, tmp_path)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2
    assert outcome.err.count("warning:") == 2
    assert outcome.err.count("it has 1 channel, the network was trained on 2") == 1
    assert outcome.err.count("it lasts 0.25 s, the network was trained on 0.5 s") == 1
    code, records = run_json("predict", trained, tmp_path)
    assert code == 0
    assert [len(record["warnings"]) for record in records] == [2, 2]
    assert [record["scenes"][0].keys() for record in records] == [{"scene", "probability"}] * 2


def test_f1_15_pad_or_trim_of_the_front_end_counts_in_prediction(network, tmp_path):
    spec = SPEC.model_copy(update={"pad_or_trim": 0.05})
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": OPTIONS}
    save_model(tmp_path / "m.safetensors", ModelFile(network, architecture, CLASSES, spec.shape, MEAN, STD, spec))
    predictor = Predictor(tmp_path / "m.safetensors")
    assert cautions(predictor, tmp_path, 9.95, 16_000, 2) == {}
    short = predictor.predict_file(tmp_path / "a.wav")
    sf.write(tmp_path / "a.wav", np.concatenate([sf.read(tmp_path / "a.wav")[0], np.zeros((800, 2))]), 16_000)
    np.testing.assert_array_equal(predictor.predict_file(tmp_path / "a.wav"), short)


def test_a8_a_folder_finds_every_kind_and_names_what_is_left_out(trained, tmp_path):
    sf.write(tmp_path / "a.WAV", sound(0.5, 8000), 8000, format="WAV")
    sf.write(tmp_path / "b.opus", sound(0.5, 8000), 8000, format="OGG", subtype="OPUS")
    sf.write(tmp_path / "c.aiff", sound(0.5, 8000), 8000)
    (tmp_path / "d.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(2000))
    (tmp_path / "._a.WAV").write_bytes(bytes(80))
    (tmp_path / ".trash").mkdir()
    sf.write(tmp_path / ".trash" / "e.wav", sound(0.5, 8000), 8000)
    outcome = run_cli("predict", trained, tmp_path, "--json")
    assert [record["file"] for record in json.loads(outcome.out)] == [
        str(tmp_path / n) for n in ("a.WAV", "b.opus", "c.aiff")
    ]
    assert "left out 1 file of other kinds (.m4a)" in outcome.err
    lone = run_cli("predict", trained, tmp_path / "d.m4a")
    assert lone.code == 2
    assert f"ffmpeg -i {tmp_path / 'd.m4a'} {tmp_path / 'd.wav'}" in lone.err
    (tmp_path / "phone").mkdir()
    shutil.copy(tmp_path / "d.m4a", tmp_path / "phone")
    nothing = run_cli("predict", trained, tmp_path / "phone")
    assert nothing.code == 2
    assert "it holds 1 file of other kinds (.m4a)" in nothing.err
    assert "ffmpeg" in nothing.err


def test_f3_7_a_missing_recording_gets_the_name_that_was_meant(trained, tmp_path):
    sf.write(tmp_path / "kitchen.wav", sound(0.5, 8000), 8000)
    outcome = run_cli("predict", trained, tmp_path / "kitchn.wav")
    assert outcome.code == 2
    assert "hint: did you mean 'kitchen.wav'?" in outcome.err
    elsewhere = run_cli("predict", trained, tmp_path / "no" / "where.wav")
    assert "look at the spelling of the path" in elsewhere.err


def test_s2_clips_without_sound_have_a_reason_and_the_others_an_answer(trained, tmp_path):
    sf.write(tmp_path / "0.wav", sound(0.5, 8000), 8000)
    sf.write(tmp_path / "1.wav", np.zeros((4000, 2)), 8000)
    sf.write(tmp_path / "2.wav", np.zeros((0, 2)), 8000)
    outcome = run_cli("predict", trained, tmp_path, "--json")
    assert outcome.code == 1
    assert len(json.loads(outcome.out)) == 1
    assert "1.wav: every sample is zero" in outcome.err
    assert "2.wav: the file holds no sound at all" in outcome.err


def test_f1_8_predict_names_the_seed_its_accuracy_and_the_others(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    table = pd.read_csv(run / "seed0" / "predictions.csv")
    accuracy = 100 * (table["label"] == table["prediction"]).mean()
    assert describe_choice(run) == f"{run} stands for its seed 0 (accuracy {accuracy:.1f} %)"
    assert describe_choice(run / "seed0") == describe_choice(run / "seed0" / "model.safetensors") == ""
    shutil.copytree(run / "seed0", run / "seed3")
    right = np.eye(3)[[CLASSES.index(label) for label in table["label"]]]
    write_predictions(run / "seed3" / "predictions.csv", table[list(CLIP_COLUMNS)], CLASSES, right)
    words = f"(accuracy {accuracy:.1f} %); seed 3 has 100.0 %: name {run / 'seed3'} to use that one"
    assert describe_choice(run).endswith(words)
    sf.write(tmp_path / "a.wav", sound(0.5, 8000), 8000)
    outcome = run_cli("predict", run, tmp_path / "a.wav", "--json")
    assert words in outcome.err
    assert len(json.loads(outcome.out)) == 1
