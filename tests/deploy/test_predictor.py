"""The predictor: one model file, recordings of any rate, channel count and length."""

import numpy as np
import pytest
import scipy.signal
import soundfile as sf
import torch
from helpers.progress import RecordedProgress

from asc_mrkd import Predictor
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.errors import AudioError, DamagedFileError, DataError, RunError
from asc_mrkd.features import Frontend, FrontendSpec
from asc_mrkd.models import build_model

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
        assert prediction.probabilities == sorted(probabilities, reverse=True)[:2]
        assert prediction.classes == [CLASSES[i] for i in probabilities.argsort()[::-1][:2]]


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
